package main

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
	"certroll/reconcile/ledger"
)

const applyNow = "apply --auto-approve"

// TestCAFails: for each way in which a CA refuses or is unavailable, certroll quotes the CA, leaves live certificates
// alone, waits before it retries, and recovers once the cause is fixed.
func TestCAFails(t *testing.T) {
	sideBySide(t, map[string]func(*testing.T, *world){
		"caa at finalization": caaAtFinalization, "caa at validation": caaAtValidation,
		"paused": paused, "refused": connectionRefused, "overloaded": overloaded,
		"many": manyFail, "bad nonces": badNonces, "forgotten": accountForgotten,
	})
}

// caaAtFinalization: Boulder checks CAA again before it issues for an older authorization. The order stays valid, and
// certroll finishes it once the record is fixed.
func caaAtFinalization(t *testing.T, l *world) {
	const words = "CAA record for caa.lab.test prevents issuance" // as Boulder says it
	w, f := l.issued(t, "caa")
	was := w.serial("caa")
	f.breaks(at(finalization, problem(http.StatusForbidden, "caa", "Rechecking CAA for \"caa.lab.test\" and 0 more identifiers failed. Refer to sub-problems for more information :: "+words)))
	w.says(applyNow, "caa", "failed (caa)", "urn:ietf:params:acme:error:caa", words, "add a CAA record that allows this CA")
	w.waits(w.failed("caa", ledger.ClassCAA, words, 1), 24*time.Hour, 27*time.Hour)
	w.stays("caa", 1, was)
	if out := w.quiet(f, "a CAA record waits for a person"); !strings.Contains(out, "rotate waits until") {
		t.Errorf("apply:\n%s", out)
	}
	f.mend()
	w.nudge()
	w.certroll(0, "apply", "-auto-approve")
	w.checkPair("tls/caa", "caa.lab.test")
	w.tells("caa", "issue success, rotate failure, rotate success")
	f.orders(2, 2) // the second order was refused at first and then finished
}

// caaAtValidation: the refusal invalidates the order.
func caaAtValidation(t *testing.T, l *world) {
	const words = "CAA record for caa2.lab.test prevents issuance"
	w, f := l.issued(t, "caa2")
	was := w.serial("caa2")
	asked := f.count(validation)
	f.edits(func(resp *http.Response) error {
		if !strings.HasPrefix(resp.Request.URL.Path, permission) || f.count(validation) == asked {
			return nil
		}
		return editJSON(resp, func(authz map[string]any) {
			authz["status"] = "invalid"
			for _, ch := range authz["challenges"].([]any) {
				ch.(map[string]any)["status"] = "invalid"
				ch.(map[string]any)["error"] = map[string]any{"type": "urn:ietf:params:acme:error:caa", "detail": words, "status": 403}
			}
		})
	})
	w.says(applyNow, "failed (caa)", "validating caa2.lab.test", "urn:ietf:params:acme:error:caa: "+words)
	e := w.failed("caa2", ledger.ClassCAA, words, 1)
	w.waits(e, 24*time.Hour, 27*time.Hour)
	if len(e.FailedNames) != 1 || e.FailedNames[0] != "caa2.lab.test" {
		t.Errorf("the event tells of the failed names %v", e.FailedNames)
	}
	w.stays("caa2", 1, was)
	w.quiet(f, "a CAA record waits for a person")
	if left := strings.Join(w.dns.Challenges(), " "); strings.Contains(left, "caa2.lab.test") {
		t.Errorf("challenge records are left: %s", left)
	}
	f.mend()
	w.nudge()
	w.certroll(0, "apply", "-auto-approve")
	w.checkPair("tls/caa2", "caa2.lab.test")
	w.tells("caa2", "issue success, rotate failure, rotate success")
	f.orders(3, 3)
}

// rateLimited: the daemon waits until the second that the CA's Retry-After names, and sends no order before.
func rateLimited(t *testing.T, l *world) {
	const words = "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s"
	w, f := l.issued(t, "limited")
	was := w.serial("limited")
	w.editSettings(func(text string) string { return text + "\ninterval = \"1s\"\n" })
	ends := make(chan time.Time, 1)
	f.breaks(at(newOrder, func(rw http.ResponseWriter, req *http.Request) {
		f.mend()
		at := time.Now().Add(69 * time.Second).Truncate(time.Second) // later than the first back-off step with its jitter
		ends <- at
		problem(http.StatusTooManyRequests, "rateLimited", words, "Retry-After", at.UTC().Format(http.TimeFormat))(rw, req)
	}))
	cmd, out := w.startRun()
	w.until("the refusal", out, func() bool { return w.countEvents("rotate", "failure") == 1 })
	end, e := <-ends, w.failed("limited", ledger.ClassRateLimited, words, 1)
	if !e.HoldUntil.Equal(end) {
		t.Errorf("it waits until %s, the CA said %s", e.HoldUntil, end)
	}
	w.until("the renewal", out, func() bool { return w.countEvents("rotate", "success") == 1 })
	w.stopRun(cmd, out)
	if w.serial("limited") == was {
		t.Error("it was not renewed")
	}
	w.checkPair("tls/limited", "limited.lab.test")
	f.orders(3, 2)
	if again := f.times(newOrder)[2]; again.Before(end) {
		t.Errorf("the CA was asked again %s before the time it had named", end.Sub(again))
	}
}

// paused: only a person can end the pause, through a link whose token is a secret.
func paused(t *testing.T, l *world) {
	const token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJlLW9mLWEtdGVzdA"
	w, f := l.issued(t, "paused")
	was := w.serial("paused")
	f.breaks(at(newOrder, problem(http.StatusTooManyRequests, "rateLimited", "Your account is temporarily prevented from requesting certificates for "+
		"paused.lab.test and possibly others. Please visit: https://sfe.example.com/sfe/v1/unpause?jwt="+token)))
	out := w.certroll(1, "apply", "-auto-approve", "-log-level", "debug")
	for _, words := range []string{"failed (paused)", "temporarily prevented", "self-service link"} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), words) {
			t.Errorf("it does not say %q:\n%s", words, out)
		}
	}
	w.waits(w.failed("paused", ledger.ClassPaused, "temporarily prevented from requesting certificates for paused.lab.test", 1), 24*time.Hour, 27*time.Hour)
	w.stays("paused", 1, was)
	out += w.quiet(f, "a pause waits for a person") + w.certroll(1, "status", "paused") + w.certroll(0, "plan", "-json")
	if strings.Contains(out, token[:30]) {
		t.Errorf("the token was printed:\n%s", out)
	}
	w.nowhere(token)
	f.orders(2, 1)
	f.mend()
	w.nudge()
	w.certroll(0, "apply", "-auto-approve")
	w.tells("paused", "issue success, rotate failure, rotate success")
	f.orders(3, 2)
}

// nowhere requires that a token is neither in the working directory, which contains journal and state, nor in any
// object of the repository.
func (w *world) nowhere(token string) {
	w.t.Helper()
	parts := strings.Split(token, ".")
	look := func(where, text string) {
		for _, part := range append(parts, token) {
			if strings.Contains(text, part) {
				w.t.Errorf("a part of the token is in %s", where)
			}
		}
	}
	err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		look(path, string(b))
		return err
	})
	if err != nil {
		w.t.Error(err)
	}
	objects := w.git("cat-file", "--batch-all-objects", "--batch")
	if !strings.Contains(objects, "temporarily prevented") {
		w.t.Error("the repository's objects do not even hold the CA's words")
	}
	look("the repository", objects)
}

// connectionRefused: nothing listens at the CA's address.
func connectionRefused(t *testing.T, l *world) {
	w, f := l.issued(t, "down")
	was := w.serial("down")
	f.close()
	w.says(applyNow, "failed (ca_unavailable)", f.addr, "connection refused")
	w.waits(w.failed("down", ledger.ClassCAUnavailable, "connection refused", 1), time.Minute, 66*time.Second)
	w.stays("down", 1, was)
	w.quiet(f, "a CA that is away is not asked at once again")
	f.reopen()
	w.nudge()
	w.certroll(0, "apply", "-auto-approve")
	w.tells("down", "issue success, rotate failure, rotate success")
	f.orders(2, 2)
}

// overloaded: certroll waits for an overload that ends within an attempt. If it does not end, certroll sends at most
// three requests.
func overloaded(t *testing.T, l *world) {
	w, f := l.issued(t, "busy")
	was := w.serial("busy")
	busy := problem(http.StatusServiceUnavailable, "serverInternal", "Service busy; retry later.")
	f.breaks(at(newOrder, busy))
	w.says(applyNow, "failed (ca_unavailable)", "503", "Service busy; retry later")
	w.failed("busy", ledger.ClassCAUnavailable, "Service busy; retry later", 1)
	w.stays("busy", 1, was)
	f.orders(4, 1)
	w.quiet(f, "a CA that is away is not asked at once again")

	f.breaks(at(newOrder, func(rw http.ResponseWriter, req *http.Request) {
		f.mend()
		busy(rw, req)
	}))
	w.nudge()
	w.certroll(0, "apply", "-auto-approve")
	w.tells("busy", "issue success, rotate failure, rotate success")
	f.orders(6, 2)

	// certroll does not retry before the time that the CA states.
	f.breaks(at(newOrder, problem(http.StatusServiceUnavailable, "serverInternal", "Down for maintenance", "Retry-After", "7200")))
	w.push(declare(`rotate = "again"`, "busy"), "Rotate it again")
	w.says(applyNow, "failed (ca_unavailable)", "Down for maintenance")
	w.waits(w.failed("busy", ledger.ClassCAUnavailable, "Down for maintenance", 1), 2*time.Hour-2*time.Second, 2*time.Hour)
	f.orders(7, 2)
}

// manyFail: a CA that is unavailable for all certificates is one problem. After three failures certroll does not try
// the others and records one event. Once the cause may be fixed, one certificate goes first.
func manyFail(t *testing.T, l *world) {
	names := []string{"many1", "many2", "many3", "many4", "many5", "many6", "many7"}
	w, f := l.faulty(t, declare("", names...))
	f.breaks(at(newOrder, problem(http.StatusServiceUnavailable, "serverInternal", "Service busy; retry later.")))
	out := w.says(applyNow, "failed (ca_unavailable)", "0 done, 3 failed, 4 held back")
	if n := strings.Count(out, "failed (ca_unavailable)"); n != 3 {
		t.Errorf("%d certificates failed, want 3:\n%s", n, out)
	}
	failures, held := 0, 0
	for _, e := range w.audit() {
		switch e.Status {
		case ledger.Failed:
			failures++
		case ledger.Held:
			held++
			if e.Class != ledger.ClassCAUnavailable || !strings.Contains(e.Message, "Service busy") || !strings.Contains(e.Detail, "issuer.pebble failed for 3 certificates in a row; 4 more were not tried") {
				t.Errorf("the event of what is held: %+v", e)
			}
		}
	}
	if failures != 3 || held != 1 {
		t.Errorf("%d failures and %d events of what is held, want 3 and 1", failures, held)
	}
	f.orders(9, 0) // three tries for each of three certificates
	head := w.git("rev-parse", "certroll/status")
	for range 2 {
		if out := w.quiet(f, "the issuer is held"); strings.Count(out, "issue waits until") != len(names) {
			t.Errorf("not all wait:\n%s", out)
		}
	}
	// The next plan may record the hold once more; after that there are no commits.
	if n := w.git("rev-list", "--count", head+"..certroll/status"); n != "0" && n != "1" {
		t.Errorf("%s commits while nothing happened", n)
	}

	// A changed spec may be the fix: one certificate tries, and if it fails all wait again.
	w.nudge()
	w.says(applyNow, "0 done, 1 failed")
	f.orders(12, 0)
	w.quiet(f, "the issuer is held again")
	f.mend()
	w.nudge()
	if out := w.certroll(0, "apply", "-auto-approve"); !strings.Contains(out, "1 done, 0 failed") {
		t.Errorf("not one certificate went first:\n%s", out)
	}
	w.certroll(0, "apply", "-auto-approve")
	for _, name := range names {
		w.checkPair("tls/"+name, name+".lab.test")
	}
	f.orders(19, 7)
}

// badNonces: a CA that rejects most nonces costs requests, not orders. Pebble rejects at random; the chance that it
// rejects fewer than three here is one in 20,000.
func badNonces(t *testing.T, l *world) {
	storm := *l
	storm.pebble = labtest.Pebble(t, lab.PebbleOptions{DNS: l.dns.Addr, NonceReject: 40})
	names := []string{"storm1", "storm2", "storm3", "storm4"}
	w, f := storm.faulty(t, declare("", names...))
	w.certroll(0, "apply", "-auto-approve")
	for _, name := range names {
		w.checkPair("tls/"+name, name+".lab.test")
	}
	made, refused := f.answers()
	if made != len(names) {
		t.Errorf("%d orders were made, want %d", made, len(names))
	}
	if refused < 3 {
		t.Errorf("the CA refused %d requests only: that was no storm", refused)
	}
	for _, e := range w.audit() {
		if e.Status != ledger.Success {
			t.Errorf("event %+v", e)
		}
	}
}

// accountForgotten: certroll registers the same key again, and the renewal continues.
func accountForgotten(t *testing.T, l *world) {
	forgetful := *l
	forgetful.pebble = labtest.Pebble(t, lab.PebbleOptions{DNS: l.dns.Addr})
	w, f := forgetful.issued(t, "forgot")
	before, was := w.account(), w.serial("forgot")
	if err := w.pebble.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.certroll(0, "apply", "-auto-approve")
	w.checkPair("tls/forgot", "forgot.lab.test")
	if w.serial("forgot") == was {
		t.Error("it was not renewed")
	}
	after := w.account()
	if after["private_key"] != before["private_key"] {
		t.Error("the account has another key")
	}
	if n := f.count(newAccount); n != 2 {
		t.Errorf("%d registrations, want 2", n)
	}
	w.tells("forgot", "issue success, rotate success")
	if made, _ := f.answers(); made != 2 {
		t.Errorf("%d orders were made, want 2", made)
	}
}

// account returns the document of the world's only ACME account.
func (w *world) account() map[string]string {
	w.t.Helper()
	var list struct{ Data struct{ Keys []string } }
	if err := w.vault.API(w.t.Context(), "LIST", "secret/metadata/"+w.prefix+"/accounts", nil, &list); err != nil {
		w.t.Fatal(err)
	}
	if len(list.Data.Keys) != 1 {
		w.t.Fatal(fmt.Errorf("%d accounts, want 1: %v", len(list.Data.Keys), list.Data.Keys))
	}
	return w.secret(w.prefix + "/accounts/" + list.Data.Keys[0])
}
