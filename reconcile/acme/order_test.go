package acme

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"certroll/examples/lab"
	"certroll/reconcile/acme/ca"
	"certroll/spec"
)

// refusals holds real CAs' errors for an order with replaces.
var refusals = map[string]struct {
	status int
	body   string
	tied   bool
}{
	"Boulder, replaced already": {409, problemBody("alreadyReplaced", `While validating order as a replacement an error occurred :: cannot indicate an order replaces certificate with serial \"03a1\", which already has a replacement order`), true},
	"Boulder, in other words":   {409, problemBody("conflict", `While validating order as a replacement an error occurred :: cannot indicate an order replaces certificate with serial \"03a1\", which already has a replacement order`), true},
	"Boulder, another CA's":     {404, problemBody("malformed", "Could not validate ARI 'replaces' field :: path contained an Authority Key Identifier that did not match a known issuer"), true},
	"Boulder, another account's": {403, problemBody("unauthorized",
		"While validating order as a replacement an error occurred :: requester account did not request the certificate being replaced by this order"), true},
	"Boulder, no name in common": {400, problemBody("malformed", "While validating order as a replacement an error occurred :: identifiers in this order do not match any identifiers in the certificate being replaced"), true},
	"ZeroSSL":                    {401, problemBody("unauthorized", `The \"replaces\" field does not identify a certificate that belongs to this ACME account`), true},
	"Pebble":                     {400, problemBody("malformed", "parsing ARI CertID failed: not found"), true},
	"a type unheard of":          {422, problemBody("notReplaceable", "certificate cannot be replaced"), true},
	"account deactivated":        {403, problemBody("unauthorized", "Account is not valid, has status \\\"deactivated\\\""), true},
	"limit":                      {429, problemBody("rateLimited", "too many new orders (300) from this account in the last 3h0m0s, retry after 2026-11-24 18:00:00 UTC"), false},
	"limit with another status":  {403, problemBody("rateLimited", "too many replacements"), false},
	"pause":                      {429, problemBody("rateLimited", "Your account is temporarily prevented from requesting certificates for a.example.com and possibly others. Please visit: https://ca.example.com/sfe/v1/unpause?jwt=x"), false},
	"fault":                      {500, problemBody("serverInternal", "Error creating new order"), false},
	"fault that is about it":     {500, problemBody("serverInternal", "Could not validate ARI 'replaces' field"), true},
	"Pebble, a serial that begins with a zero byte": {500, problemBody("serverInternal",
		"could not find an order for the given certificate: could not find order resulting in the given certificate serial number"), true},
	"busy page":          {503, "<html>replacing the server</html>", false},
	"firewall":           {403, "<html>replace your browser</html>", true},
	"name not issued to": {400, problemBody("rejectedIdentifier", "Cannot issue for it"), false},
	"terms":              {403, problemBody("userActionRequired", "agree"), false},
	"CAA":                {403, problemBody("caa", "CAA record for x prevents issuance"), false},
	"profile":            {400, problemBody("invalidProfile", "no such profile"), false},
}

func isNewOrder(req *http.Request) bool { return strings.Contains(req.URL.Path, "/order-plz") }

// TestReplacesIsLeftOutOnce checks that an error that may concern replaces leads to one
// order without it, and to no second one.
func TestReplacesIsLeftOutOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	r.order(r.client(), "warm.lab.test") // already registered
	for name, test := range refusals {
		t.Run(name, func(t *testing.T) {
			for _, persistent := range []bool{false, true} {
				var with, without atomic.Int64
				c := r.through(func(_ http.RoundTripper, req *http.Request) *http.Response {
					if !isNewOrder(req) {
						return nil
					}
					if (ca.Answer{Request: req}).SentField("replaces") {
						with.Add(1)
						return reply(test.status, nil, test.body)
					}
					without.Add(1)
					if persistent {
						return reply(test.status, nil, test.body)
					}
					return nil
				})
				_, replaced, err := c.Order(t.Context(), r.issuer, []string{"replaces.lab.test"}, "AAAA.BBBB")
				var second int64
				if test.tied {
					second = 1
				}
				if success := test.tied && !persistent; (err == nil) != success || replaced {
					t.Errorf("refused for ever %v: got %v, replaced %v; want success %v and that nothing is replaced", persistent, err, replaced, success)
				}
				if with.Load() != 1 || without.Load() != second {
					t.Errorf("refused for ever %v: got %d orders with and %d without replaces, want 1 and %d", persistent, with.Load(), without.Load(), second)
				}
				if err != nil && !strings.Contains(err.Error(), fmt.Sprint(test.status)) {
					t.Errorf("the error is not the CA's: %v", err)
				}
			}
		})
	}
}

func TestReplacesAtPebble(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	c := r.client()
	leaf, _ := r.issue(c, []*spec.DNSAccount{account("dns", r.server())}, "old.lab.test")
	for leaf.SerialNumber.BitLen()%8 == 0 { // a serial with a leading zero byte: Pebble does not find it
		leaf, _ = r.issue(c, []*spec.DNSAccount{account("dns", r.server())}, "old.lab.test")
	}
	order := func(names []string, replaces string, want bool) {
		t.Helper()
		url, replaced, err := c.Order(t.Context(), r.issuer, names, replaces)
		if err != nil || url == "" || replaced != want {
			t.Errorf("got the order %q with replaced %v (%v), want %v", url, replaced, err, want)
		}
	}
	order([]string{"old.lab.test"}, "", false)
	order([]string{"old.lab.test"}, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE", false) // a certificate of another CA
	order([]string{"old.lab.test", "new.lab.test"}, certID(leaf), true)

	// Once an order has replaced the certificate, nothing is left to replace.
	_, csr := request(t, "old.lab.test")
	url, replaced, err := c.Order(t.Context(), r.issuer, []string{"old.lab.test"}, certID(leaf))
	if err != nil || !replaced {
		t.Fatalf("got replaced %v (%v)", replaced, err)
	}
	if _, _, _, err := c.Finish(t.Context(), r.issuer, url, csr, []*spec.DNSAccount{account("dns", r.server())}, nil); err != nil {
		t.Fatal(err)
	}
	order([]string{"old.lab.test"}, certID(leaf), false)
}

// TestReplacesWithoutRenewalInfo checks that the client sends no replaces to a CA
// without renewal information, and does not report the field as accepted.
func TestReplacesWithoutRenewalInfo(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{})
	c := r.through(func(_ http.RoundTripper, req *http.Request) *http.Response {
		switch {
		case strings.HasSuffix(req.URL.Path, "/dir"):
			base := "https://" + req.URL.Host
			return reply(200, nil, fmt.Sprintf(`{"newNonce":%q,"newAccount":%q,"newOrder":%q}`, base+"/nonce-plz", base+"/sign-me-up", base+"/order-plz"))
		case isNewOrder(req) && (ca.Answer{Request: req}).SentField("replaces"):
			t.Error("the field was sent")
		}
		return nil
	})
	if _, replaced, err := c.Order(t.Context(), r.issuer, []string{"plain.lab.test"}, "AAAA.BBBB"); err != nil || replaced {
		t.Errorf("got replaced %v (%v)", replaced, err)
	}
}
