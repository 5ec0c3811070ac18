package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestKillBeforeCleanUp: certroll is killed when the CA has validated a name, so its TXT record stays. The next run
// continues the same order, which is ready by then, and still removes the record.
func TestKillBeforeCleanUp(t *testing.T) {
	t.Parallel()
	w, k := killedBeforeCleanUp(t)
	if killed, out := k.run(w, 0, false, "apply", "-auto-approve"); killed {
		t.Fatalf("it was killed again:\n%s", out)
	}
	if got := w.dns.Challenges(); len(got) != 0 {
		t.Errorf("TXT records are left at %v", got)
	}
	if k.orders != 1 {
		t.Errorf("%d orders, want 1", k.orders)
	}
	if events := w.events(); len(events) != 1 || events[0].Status != "success" || strings.Contains(events[0].Detail, "not removed") {
		t.Errorf("events %+v", events)
	}
	w.noPending()
}

// killedBeforeCleanUp returns a world whose first issue was killed after the CA found the TXT record, which still
// exists.
func killedBeforeCleanUp(t *testing.T) (*world, *killer) {
	t.Helper()
	lab := newLab(t)
	lab.program = build(t)
	k := &killer{}
	var armed atomic.Bool
	front := httptest.NewUnstartedServer(reverse(t, strings.TrimSuffix(lab.directory, "/dir"), lab.caBundle, func(resp *http.Response) error {
		if madeOrder(resp) {
			k.mu.Lock()
			k.orders++
			k.mu.Unlock()
		}
		if !strings.HasPrefix(resp.Request.URL.Path, "/authZ/") {
			return nil
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
		if bytes.Contains(bytes.ReplaceAll(body, []byte(" "), nil), []byte(`"status":"valid"`)) && armed.CompareAndSwap(true, false) {
			k.kill()
		}
		return nil
	}))
	front.StartTLS()
	t.Cleanup(front.Close)
	lab.directory, lab.caBundle = front.URL+"/dir", pemOf(front.Certificate())
	w := lab.fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.settings("")
	armed.Store(true)
	if killed, out := k.run(w, 0, false, "apply", "-auto-approve"); !killed {
		t.Fatalf("it was not killed:\n%s", out)
	}
	if got := lab.dns.Challenges(); len(got) != 1 {
		t.Fatalf("TXT records are left at %v, want one", got)
	}
	w.expireLease()
	return w, k
}

// TestKillBeforeCleanUpThenRemove: if the block is gone in the next run, certroll removes the record before the pending
// secret.
func TestKillBeforeCleanUpThenRemove(t *testing.T) {
	t.Parallel()
	w, k := killedBeforeCleanUp(t)
	w.push(map[string]string{"certs.hcl": "# none\n"}, "Remove it")
	w.begunLongAgo("api")
	if killed, out := k.run(w, 0, false, "apply", "-auto-approve"); killed {
		t.Fatalf("it was killed again:\n%s", out)
	}
	if got := w.dns.Challenges(); len(got) != 0 {
		t.Errorf("TXT records are left at %v", got)
	}
	w.noPending()
	if events := w.events(); len(events) != 1 || events[0].Operation != "retire" || events[0].Status != "success" || strings.Contains(events[0].Detail, "TXT") {
		t.Errorf("events %+v", events)
	}
}
