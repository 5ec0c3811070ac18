package reconcile_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"certroll/reconcile"
	"certroll/reconcile/ledger"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/throttle"
	"certroll/spec"
)

// TestLimitsUsed checks that the used share of each limit rises and falls again.
func TestLimitsUsed(t *testing.T) {
	desired := reconciletest.Desire(reconciletest.Certificate("api", "api.example.com"))
	desired.Issuers["ca"].Limits = reconciletest.LetsEncrypt()
	desired.Issuers["free"] = &spec.Issuer{Name: "free", Directory: "https://free.example/dir"}
	events := reconciletest.Repeat(10, 0, "", func(i int) string { return fmt.Sprintf("x%d.example.com", i) })
	events = append(events, reconciletest.Done(0, "https://ca.example/order/o", "", "y.example.org"))
	events = append(events, ledger.Event{Time: reconciletest.Start, Operation: ledger.KindRenew, Status: ledger.Failed, Class: ledger.ClassValidation, Issuer: "ca", Directory: "https://ca.example/dir",
		FailedNames: []string{"z.example.net"}, OrderURL: "https://ca.example/order/f"})
	for after, want := range map[time.Duration]string{
		0:                        "orders 12.0/300, certificates_per_domain 10.0/50, exact_set 1.0/5, failed_validations 1.0/5, ",
		6 * time.Minute:          "orders 2.0/300, certificates_per_domain 10.0/50, exact_set 1.0/5, failed_validations 0.5/5, ",
		168 * time.Hour:          "orders 0.0/300, certificates_per_domain 0.0/50, exact_set 0.0/5, failed_validations 0.0/5, ",
		168 * time.Hour / 50 * 2: "orders 0.0/300, certificates_per_domain 8.0/50, exact_set 0.8/5, failed_validations 0.0/5, ",
	} {
		got := ""
		for _, l := range throttle.LimitsUsed(desired, events, reconciletest.Start.Add(after)) {
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

// TestPassTells checks that a pass reports what waits and which systems are down, also
// if it could observe nothing.
func TestPassTells(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, repo *reconciletest.MemRepo) {
		var last reconcile.Pass
		repo.Desired.Issuers["ca"].Limits = reconciletest.LetsEncrypt()
		defer w.Keep(repo, reconcile.LoopOptions{Passed: func(p reconcile.Pass) { last = p }})()
		synctest.Wait()
		if b := last.Backlog; b.Events != 0 || !b.Oldest.IsZero() || b.PublishedAt.IsZero() || len(last.Outages) > 0 || len(last.Limits) != 4 {
			t.Errorf("at first: %+v, %v, %v", b, last.Outages, last.Limits)
		}
		published := last.Backlog.PublishedAt
		w.Ledger.Away(reconciletest.GitError())
		repo.Mu.Lock()
		more := reconciletest.Desire(reconciletest.Certificate("api", "api.example.com"), reconciletest.Certificate("www", "www.example.com"))
		more.Issuers["ca"].Limits = reconciletest.LetsEncrypt()
		repo.Desired = more
		repo.Mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		if b := last.Backlog; b.Events == 0 || time.Since(b.Oldest) < 50*time.Minute || !b.PublishedAt.Equal(published) {
			t.Errorf("with the ledger away: %+v", b)
		}
		if o := last.Outages; len(o) != 1 || o[0].Side != "ledger" || time.Since(o[0].Since) < 50*time.Minute {
			t.Errorf("with the ledger away: %v", o)
		}
		w.Vault.Mu.Lock()
		w.Vault.Fail = func(string, string) error { return reconciletest.ConflictError{Err: fmt.Errorf("Vault is sealed")} }
		w.Vault.Mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		if b, o := last.Backlog, last.Outages; b.Events == 0 || len(o) != 2 || o[1].Side != "vault" || last.After.Observed != nil {
			t.Errorf("with Vault away too: %+v, %v", b, o)
		}
	}, reconciletest.Certificate("api", "api.example.com"))
}
