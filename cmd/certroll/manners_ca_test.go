package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"certroll/examples/lab"
)

// TestRetryAfterOfADay: ZeroSSL sends a Retry-After of a day for a decision that takes seconds. The TXT record stays
// until the CA has decided, and one order suffices.
func TestRetryAfterOfADay(t *testing.T) {
	t.Parallel()
	l := newLabWith(t, lab.PebbleOptions{Sleep: true, RetryAfterAuthz: 86400, RetryAfterOrder: 86400})
	w, f := l.faulty(t, declare("", "patient"))
	processed := 0
	f.edits(func(resp *http.Response) error {
		if !isOrderAnswer(resp) || f.count(finalization) == 0 || processed == 2 {
			return nil
		}
		processed++
		resp.Header.Set("Retry-After", "86400")
		return editJSON(resp, func(order map[string]any) {
			order["status"] = "processing"
			delete(order, "certificate")
		})
	})
	w.certroll(0, "apply", "-auto-approve")
	w.checkPair("tls/patient", "patient.lab.test")
	w.tells("patient", "issue success")
	f.orders(1, 1)
	if processed != 2 {
		t.Errorf("the order was seen processing %d times, want 2", processed)
	}
	if left := w.dns.Challenges(); len(left) > 0 {
		t.Errorf("challenge records are left: %v", left)
	}
}

// isOrderAnswer reports whether a response is successful and contains an order.
func isOrderAnswer(resp *http.Response) bool {
	return strings.HasPrefix(resp.Request.URL.Path, "/my-order/") && resp.StatusCode == http.StatusOK
}

// reusesOrders makes the CA behave like Boulder: a new order for the same account, names and profile returns the
// existing order if that is pending or ready.
func (f *front) reusesOrders() {
	type made struct {
		location string
		body     []byte
	}
	var mu sync.Mutex
	open := map[string]made{}
	f.breaks(func(rw http.ResponseWriter, req *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if id, ok := strings.CutPrefix(req.URL.Path, finalization); ok {
			maps.DeleteFunc(open, func(_ string, m made) bool { return strings.HasSuffix(m.location, id) })
			return false
		}
		if req.URL.Path != newOrder {
			return false
		}
		key := orderKey(f.t, req)
		if m, ok := open[key]; ok {
			rw.Header().Set("Location", m.location)
			rw.Header().Set("Content-Type", "application/json")
			rw.WriteHeader(http.StatusCreated)
			_, _ = rw.Write(m.body)
			return true
		}
		rec := httptest.NewRecorder()
		f.ca.ServeHTTP(rec, req)
		maps.Copy(rw.Header(), rec.Header())
		rw.WriteHeader(rec.Code)
		_, _ = rw.Write(rec.Body.Bytes())
		if rec.Code == http.StatusCreated {
			open[key] = made{rec.Header().Get("Location"), rec.Body.Bytes()}
		}
		return true
	})
}

// orderKey returns the account, names and profile of a request for an order. It restores the body, so that the request
// can be forwarded.
func orderKey(t testing.TB, req *http.Request) string {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		t.Error(err)
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	var jws struct{ Protected, Payload string }
	if err := json.Unmarshal(body, &jws); err != nil {
		t.Error(err)
	}
	var header struct{ Kid string }
	if b, err := base64.RawURLEncoding.DecodeString(jws.Protected); err != nil || json.Unmarshal(b, &header) != nil {
		t.Errorf("a request for an order cannot be read: %v", err)
	}
	return header.Kid + " " + jws.Payload
}

// TestOrdersAreReused: an RSA and two ECDSA certificates have the same names, at a CA that returns an open order again.
// All are live after one apply and after each renewal.
func TestOrdersAreReused(t *testing.T) {
	t.Parallel()
	block := func(name, algorithm, more string) string {
		return fmt.Sprintf("certificate %q {\n  domains = [\"dual.lab.test\"]\n  issuer  = issuer.pebble\n  dns     = dns.lab\n  key {\n    algorithm = %q\n  }\n  %s\n}\n", name, algorithm, more)
	}
	files := func(more string) map[string]string {
		return map[string]string{"certs.hcl": block("dual-ec", "ecdsa", more) + block("dual-rsa", "rsa", more) + block("dual-spare", "ecdsa", more)}
	}
	w, f := newLab(t).faulty(t, files(""))
	f.reusesOrders()
	for i, more := range []string{"", `rotate = "two"`} {
		if i > 0 {
			w.push(files(more), "Make them due")
		}
		w.certroll(0, "apply", "-auto-approve")
		for _, name := range []string{"dual-ec", "dual-rsa", "dual-spare"} {
			w.checkPair("tls/"+name, "dual.lab.test")
		}
		if made, _ := f.answers(); made != 3*(i+1) {
			t.Errorf("the CA made %d orders, want %d", made, 3*(i+1))
		}
	}
}

// TestFinalizingIsRefused: the authorizations of an order are gone, but the order stays ready. The third attempt
// creates one new order.
func TestFinalizingIsRefused(t *testing.T) {
	t.Parallel()
	w, f := newLab(t).faulty(t, declare("", "refused"))
	var first string
	f.breaks(func(rw http.ResponseWriter, req *http.Request) bool {
		if !strings.HasPrefix(req.URL.Path, finalization) {
			return false
		}
		if first == "" {
			first = req.URL.Path
		}
		if req.URL.Path != first {
			return false
		}
		problem(http.StatusForbidden, "unauthorized", "Error finalizing order :: authorizations for these identifiers not found or expired: refused.lab.test")(rw, req)
		return true
	})
	for range 2 {
		w.says(applyNow, "failed (ca_rejected)", "authorizations for these identifiers not found")
		w.certroll(0, "retry", "refused")
	}
	w.certroll(0, "apply", "-auto-approve")
	w.checkPair("tls/refused", "refused.lab.test")
	f.orders(2, 2)
}
