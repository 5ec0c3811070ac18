package vault

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
)

// newClient returns a client of a lab server that uses the given token.
func newClient(t testing.TB, v *lab.Vault, token string) *Client {
	t.Helper()
	t.Setenv("VAULT_TOKEN", token)
	c, err := New(Options{Address: v.Addr})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// limited returns a client whose token has one policy.
func limited(t testing.TB, v *lab.Vault, name, rules string) *Client {
	t.Helper()
	labtest.NeedsPolicies(t, v)
	return newClient(t, v, labtest.Token(t, v, name, rules))
}

// mustSay fails unless the error contains all of the texts and no secret.
func mustSay(t testing.TB, err error, v *lab.Vault, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one that says %q", texts)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error is\n%s\nwant in it: %s", err, text)
		}
	}
	if strings.Contains(err.Error(), v.Token) {
		t.Error("the error holds the token")
	}
}

func write(t testing.TB, name, text string) string {
	t.Helper()
	path := fmt.Sprintf("%s/%s", t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// policy returns one of the example policies.
func policy(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("../examples/vault-policies/" + name + ".hcl")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// call sends a request as root and fails the test on an error.
func call(t testing.TB, v *lab.Vault, method, path string, in, out any) {
	t.Helper()
	if err := v.API(t.Context(), method, path, in, out); err != nil {
		t.Fatal(err)
	}
}

func server(t testing.TB) *lab.Vault { return labtest.Vault(t) }
