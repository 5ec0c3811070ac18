package reconcile

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/throttle"
	"certroll/spec"
)

// TestLimitsUsed: how far limits are used up, and that it falls again.
func TestLimitsUsed(t *testing.T) {
	desired := desire(certificate("api", "api.example.com"))
	desired.Issuers["ca"].Limits = letsEncrypt()
	desired.Issuers["free"] = &spec.Issuer{Name: "free", Directory: "https://free.example/dir"}
	events := repeat(10, 0, "", func(i int) string { return fmt.Sprintf("x%d.example.com", i) })
	events = append(events, done(0, "https://ca.example/order/o", "", "y.example.org"))
	events = append(events, ledger.Event{Time: start, Operation: ledger.KindRenew, Status: ledger.Failed, Class: ledger.ClassValidation, Issuer: "ca", Directory: "https://ca.example/dir",
		FailedNames: []string{"z.example.net"}, OrderURL: "https://ca.example/order/f"})
	for after, want := range map[time.Duration]string{
		0:                        "orders 12.0/300, certificates_per_domain 10.0/50, exact_set 1.0/5, failed_validations 1.0/5, ",
		6 * time.Minute:          "orders 2.0/300, certificates_per_domain 10.0/50, exact_set 1.0/5, failed_validations 0.5/5, ",
		168 * time.Hour:          "orders 0.0/300, certificates_per_domain 0.0/50, exact_set 0.0/5, failed_validations 0.0/5, ",
		168 * time.Hour / 50 * 2: "orders 0.0/300, certificates_per_domain 8.0/50, exact_set 0.8/5, failed_validations 0.0/5, ",
	} {
		got := ""
		for _, l := range throttle.LimitsUsed(desired, events, start.Add(after)) {
			got += fmt.Sprintf("%s %.1f/%d, ", l.Limit, l.Used, l.Size)
			if l.Issuer != "ca" {
				t.Errorf("issuer %s has no limits", l.Issuer)
			}
		}
		if got != want {
			t.Errorf("after %s: %s, want %s", after, got, want)
		}
	}
}

// TestPassTells what waits and who is away, also where nothing can be seen.
func TestPassTells(t *testing.T) {
	bubble(t, func(w *world, repo *memRepo) {
		var last Pass
		repo.desired.Issuers["ca"].Limits = letsEncrypt()
		defer w.keep(repo, LoopOptions{Passed: func(p Pass) { last = p }})()
		synctest.Wait()
		if b := last.Backlog; b.Events != 0 || !b.Oldest.IsZero() || b.ToldAt.IsZero() || len(last.Outages) > 0 || len(last.Limits) != 4 {
			t.Errorf("at first: %+v, %v, %v", b, last.Outages, last.Limits)
		}
		told := last.Backlog.ToldAt
		w.ledger.away(gitError())
		repo.mu.Lock()
		more := desire(certificate("api", "api.example.com"), certificate("www", "www.example.com"))
		more.Issuers["ca"].Limits = letsEncrypt()
		repo.desired = more
		repo.mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		if b := last.Backlog; b.Events == 0 || time.Since(b.Oldest) < 50*time.Minute || !b.ToldAt.Equal(told) {
			t.Errorf("with the ledger away: %+v", b)
		}
		if o := last.Outages; len(o) != 1 || o[0].Side != "ledger" || time.Since(o[0].Since) < 50*time.Minute {
			t.Errorf("with the ledger away: %v", o)
		}
		w.vault.mu.Lock()
		w.vault.fail = func(string, string) error { return conflictError{fmt.Errorf("Vault is sealed")} }
		w.vault.mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		if b, o := last.Backlog, last.Outages; b.Events == 0 || len(o) != 2 || o[1].Side != "vault" || last.Standing != nil {
			t.Errorf("with Vault away too: %+v, %v", b, o)
		}
	}, certificate("api", "api.example.com"))
}
