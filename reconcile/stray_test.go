package reconcile

import (
	"strings"
	"testing"

	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
)

const pendingOfAPI = "secret/certroll/pending/api"

// lateWrite is the data of a pending secret that reached Vault after another replica
// had done the work: the attempt of a certificate dies as soon as the data is there,
// the secret is kept aside, and the rest of the work is done.
func lateWrite(t *testing.T, w *world) map[string]string {
	t.Helper()
	for n := 1; n < 100; n++ {
		w.dyingAt(n)
		if s := w.vault.secrets[pendingOfAPI]; s != nil && len(s.versions) > 0 {
			return s.versions[0].data
		}
	}
	t.Fatal("no pending secret was written")
	return nil
}

// arrives lets the write through, which is taken since nothing is there any more.
func (w *world) arrives(data map[string]string) {
	w.vault.secrets[pendingOfAPI] = &memSecret{versions: []memVersion{{data: data}}}
}

// TestLateWriteOfAPendingSecret holds nothing back. Where the certificate is live, one
// pass destroys the key that nobody uses, without an order, and says so once.
func TestLateWriteOfAPendingSecret(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"), certificate("web", "web.example.com"))
	data := lateWrite(t, w)
	w.settle()
	orders, told := len(w.ca.orders), len(w.ledger.events(t))
	w.arrives(data)
	for _, a := range w.plan() {
		if a.Kind == ledger.KindHold {
			t.Errorf("%s is held: %s", a.Certificate, a.Detail)
		}
	}
	w.settle()
	if w.vault.secrets[pendingOfAPI] != nil {
		t.Error("the key is still there")
	}
	if n := len(w.ca.orders); n != orders {
		t.Errorf("%d orders, want %d", n, orders)
	}
	events := w.ledger.events(t)
	if len(events) != told+1 {
		t.Fatalf("%d more events, want 1", len(events)-told)
	}
	if e := events[told]; e.Certificate != "api" || e.Operation != ledger.KindRepair || e.Status != ledger.Success || !strings.Contains(e.Detail, "reached Vault late") {
		t.Errorf("it is told as %+v", e)
	}
	if again := w.settle(); again.Commit != "" {
		t.Errorf("there is more to do afterwards: %+v", w.plan())
	}
}

// TestLateWriteAndARotation: a rotation that is due replaces what came late.
func TestLateWriteAndARotation(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	data := lateWrite(t, w)
	w.settle()
	orders, serial := len(w.ca.orders), w.only().Secret.Live.Serial
	w.arrives(data)
	c.Rotate = "leaked"
	w.settle()
	if now := w.only(); now.Kind != ledger.KindNone || now.Secret.Live.Serial == serial || now.Secret.Version != 2 {
		t.Errorf("after the rotation: %+v", now)
	}
	if n := len(w.ca.orders); n != orders+1 || w.vault.secrets[pendingOfAPI] != nil {
		t.Errorf("%d orders, want %d; left is %+v", n, orders+1, w.vault.secrets[pendingOfAPI])
	}
}

// TestLateWriteBeforeTheFirstIssue: the attempt that comes goes on with it, and writes
// its metadata before anything else: a run that dies then is known again.
func TestLateWriteBeforeTheFirstIssue(t *testing.T) {
	for n := 1; ; n++ {
		w := newWorld(t, certificate("api", "api.example.com"))
		w.arrives(lateWrite(t, w))
		died := w.dyingAt(n)
		if s := w.vault.secrets[pendingOfAPI]; s != nil && len(s.versions) > 1 && s.custom[observe.MetaVersion] == "" {
			t.Errorf("call %d: the pending secret was written again, still without metadata", n)
		}
		w.settle()
		checkSettled(t, w)
		if w.vault.secrets[pendingOfAPI] != nil {
			t.Errorf("call %d: a pending secret is left", n)
		}
		if !died {
			return
		}
	}
}
