package ledger_test

import (
	"testing"

	"certroll/reconcile/ledger"
)

func TestSameMessage(t *testing.T) {
	cases := map[string]struct {
		a, b string
		same bool
	}{
		"equal":           {"no TXT record", "no TXT record", true},
		"request id":      {"refused (request 8a1f-22)", "refused (request 77b0-91)", true},
		"order URL":       {"finishing the order https://ca.example.com/acme/order/abc: 503", "finishing the order https://ca.example.com/acme/order/xyz: 503", true},
		"time":            {"too many requests, retry after 2026-11-24 18:00:00 UTC", "too many requests, retry after 2026-11-25 06:00:00 UTC", true},
		"HTTP date":       {"come back Wed, 25 Nov 2026 03:00:00 GMT", "come back Thu, 03 Dec 2026 04:10:09 GMT", true},
		"port":            {"dial tcp 127.0.0.1:53: connection refused", "dial tcp 127.0.0.1:5353: connection refused", true},
		"another problem": {"the TSIG key is refused", "the server does not answer", false},
		"another name":    {"no TXT record at _acme-challenge.api.example.com", "no TXT record at _acme-challenge.www.example.com", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := ledger.SameMessage(tc.a, tc.b); got != tc.same {
				t.Errorf("%q and %q: got %v, want %v", tc.a, tc.b, got, tc.same)
			}
		})
	}
}
