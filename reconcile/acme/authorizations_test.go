package acme

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"certroll/examples/lab"
	"certroll/spec"
)

// TestTooManyAuthorizations checks that the client rejects an order with more
// authorizations than names, or with a duplicate, before it fetches any of them.
func TestTooManyAuthorizations(t *testing.T) {
	many := make([]string, 20_000)
	for i := range many {
		many[i] = fmt.Sprintf("https://127.0.0.1:1/authz/%d", i)
	}
	for name, urls := range map[string][]string{
		"20,000 for one name": many,
		"one more than names": many[:3],
		"one of them twice":   {many[0], many[0]},
	} {
		for _, status := range []string{"pending", "invalid"} {
			t.Run(name+" "+status, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, lab.PebbleOptions{})
				var order atomic.Pointer[string]
				var fetched atomic.Int64
				f := &faulty{answer: func(req *http.Request) *http.Response {
					if strings.Contains(req.URL.Path, "/authz/") {
						fetched.Add(1)
					}
					if url := order.Load(); url == nil || req.URL.String() != *url {
						return nil
					}
					body, err := json.Marshal(map[string]any{"status": status, "authorizations": urls, "finalize": "https://127.0.0.1:1/finalize"})
					if err != nil {
						t.Error(err)
					}
					return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}, "Replay-Nonce": {"bm9uY2U"}}, Body: io.NopCloser(strings.NewReader(string(body)))}
				}}
				r.opts.Transport = func(next http.RoundTripper) http.RoundTripper { f.next = next; return f }
				c := r.client()
				names := []string{"a.lab.test", "b.lab.test"}
				url, _, err := c.Order(t.Context(), r.issuer, names, "")
				if err != nil {
					t.Fatal(err)
				}
				order.Store(&url)
				_, csr := request(t, names...)
				_, _, _, err = c.Finish(t.Context(), r.issuer, url, csr, []*spec.DNSAccount{account("dns", r.server())}, nil)
				if err == nil || !strings.Contains(err.Error(), "for an order of 2 names") {
					t.Errorf("Finish: %v", err)
				}
				if n := fetched.Load(); n != 0 {
					t.Errorf("%d authorizations were fetched", n)
				}
			})
		}
	}
}
