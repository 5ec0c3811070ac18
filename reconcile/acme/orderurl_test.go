package acme

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/reconcile/ledger"
)

// TestOrderURLIsRefused checks that the client rejects an order whose URL it could not
// send requests to, and never reports that URL for storage.
func TestOrderURLIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	r.order(r.client(), "warm.lab.test") // already registered
	for name, test := range map[string]struct{ location, want string }{
		"plain HTTP":          {"http://127.0.0.1:1/my-order/1", "is not HTTPS"},
		"no server":           {"/my-order/1", "is no URL of a server"},
		"nobody there":        {"https://127.0.0.1:1/my-order/1", "cannot be reached"},
		"a name of no server": {"https://nowhere.invalid/my-order/1", "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			c := r.through(func(_ http.RoundTripper, req *http.Request) *http.Response {
				if !strings.HasSuffix(req.URL.Path, "/order-plz") {
					return nil
				}
				return reply(201, map[string]string{"Location": test.location}, `{"status":"pending","identifiers":[{"type":"dns","value":"a.lab.test"}]}`)
			})
			url, _, err := c.Order(t.Context(), r.issuer, []string{"a.lab.test"}, "")
			e := fails(t, err, ledger.ClassCAUnavailable, false)
			if url != "" || !strings.Contains(e.Error(), test.want) {
				t.Errorf("got the URL %q and %v, want none and %q", url, e, test.want)
			}
		})
	}
	t.Run("kept by an earlier version", func(t *testing.T) {
		_, csr := request(t, "a.lab.test")
		_, _, _, err := r.client().Finish(t.Context(), r.issuer, "http://127.0.0.1:1/my-order/1", csr, nil, nil)
		fails(t, err, ledger.ClassCARejected, true)
	})
}

// TestNothingGoesOverPlainHTTP checks that the client sends nothing to an order's
// resources at plain HTTP URLs.
func TestNothingGoesOverPlainHTTP(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	c := r.client()
	url := r.order(c, "plain.lab.test")
	_, csr := request(t, "plain.lab.test")
	c = r.through(func(_ http.RoundTripper, req *http.Request) *http.Response {
		if isOrder(req) {
			return reply(200, nil, `{"status":"pending","authorizations":["http://127.0.0.1:1/authZ/1"]}`)
		}
		if req.URL.Scheme != "https" {
			t.Errorf("a request went to %s", req.URL)
		}
		return nil
	})
	_, _, _, err := c.Finish(t.Context(), r.issuer, url, csr, nil, nil)
	if e := fails(t, err, ledger.ClassCAUnavailable, false); !strings.Contains(e.Error(), "HTTPS is required") {
		t.Errorf("the error does not say so: %v", e)
	}
}

// TestOrderExpiresInAnyState checks that an order ends when it expires, in every state
// that the CA still reports.
func TestOrderExpiresInAnyState(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	url := r.order(r.client(), "late.lab.test")
	_, csr := request(t, "late.lab.test")
	past := time.Now().Add(-72 * time.Hour).UTC().Format(time.RFC3339)
	for _, status := range []string{"pending", "ready", "processing", "sleeping"} {
		c := r.through(func(_ http.RoundTripper, req *http.Request) *http.Response {
			if isOrder(req) {
				return reply(200, nil, `{"status":"`+status+`","expires":"`+past+`"}`)
			}
			return nil
		})
		_, _, _, err := c.Finish(t.Context(), r.issuer, url, csr, nil, nil)
		if e := fails(t, err, ledger.ClassCARejected, true); !strings.Contains(e.Error(), "expired at "+past+" while "+status) {
			t.Errorf("%s: the error does not say so: %v", status, e)
		}
	}
}
