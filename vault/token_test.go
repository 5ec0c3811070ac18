package vault

import (
	"context"
	"net/http"
	"testing"
	"time"

	"certroll/examples/lab/labtest"
)

// TestTokenLease: the client looks up and renews the token that it was given. A token without an expiry has no lease.
func TestTokenLease(t *testing.T) {
	v := server(t)
	policy := labtest.Policy(t, v, "certroll", readAll)
	var given struct {
		Auth struct {
			Token string `json:"client_token"`
		} `json:"auth"`
	}
	call(t, v, http.MethodPost, "auth/token/create", map[string]any{"policies": []string{policy}, "ttl": "3s"}, &given)
	keep := func(c *Client) (stop func()) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		keptAlive := make(chan struct{})
		go func() {
			defer close(keptAlive)
			c.Keep(ctx)
		}()
		return func() { cancel(); <-keptAlive }
	}
	c := newClient(t, v, given.Auth.Token)
	defer keep(c)()
	var first time.Time
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		until, lifetime := c.TokenLease()
		if first.IsZero() {
			first = until
		}
		if until.After(first.Add(time.Second/2)) && lifetime > time.Second && lifetime <= 3*time.Second {
			break // the renewed lease was reported
		}
		if time.Now().After(deadline) {
			t.Fatalf("it lives %s until %s, and until %s at first", lifetime, until, first)
		}
	}
	root := newClient(t, v, v.Token)
	stop := keep(root)
	if err := works(t, root); err != nil {
		t.Error(err)
	}
	stop()
	if until, lifetime := root.TokenLease(); !until.IsZero() || lifetime != 0 {
		t.Errorf("a token without an end lives %s, until %s", lifetime, until)
	}
}

// TestReach: every call checks the mount again.
func TestReach(t *testing.T) {
	v := server(t)
	kv := NewKV(newClient(t, v, v.Token))
	if err := kv.Reach(t.Context(), "secret"); err != nil {
		t.Fatal(err)
	}
	if err := v.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustSay(t, kv.Reach(t.Context(), "secret"), v, "sealed", "unseal it")
	if err := v.Unseal(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustSay(t, NewKV(newClient(t, v, "hvs.not-a-token")).Reach(t.Context(), "secret"), v, "the token is not valid any more")
}
