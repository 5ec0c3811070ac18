package vault

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"certroll/examples/lab/labtest"
)

// TestSetUp: setup creates what is missing, keeps what exists, and creates nothing in a second run. The role logs in
// with the secret ID.
func TestSetUp(t *testing.T) {
	v := labtest.RealVault(t)
	t.Setenv("VAULT_TOKEN", v.Token)
	c, err := New(Options{Address: v.Addr})
	if err == nil {
		err = c.Login(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	s := Setup{Mount: "certs", PolicyName: "certroll-apply", Policy: `path "certs/data/*" { capabilities = ["read"] }`, AuthMount: "approle", Role: "certroll", TokenTTL: "1h"}
	for round, made := range []bool{true, false} {
		id, done, err := c.SetUp(t.Context(), s)
		if err != nil || id == "" || len(done) != 4 {
			t.Fatal(id, done, err)
		}
		for _, d := range done {
			if d.Made != made || d.Differs {
				t.Errorf("round %d: %+v", round, d)
			}
		}
	}
	secret, err := c.NewSecretID(t.Context(), s)
	if err != nil || secret == "" {
		t.Fatal(err)
	}
	s.Policy = `path "certs/data/*" { capabilities = ["update"] }`
	if _, done, err := c.SetUp(t.Context(), s); err != nil || !done[1].Differs || done[1].Made {
		t.Errorf("an edited policy: %+v, %v", done, err)
	}
	for name, spoil := range map[string]func(*Setup){
		"an engine that is no KV":   func(s *Setup) { s.Mount = "cubbyhole" },
		"an auth method that is no": func(s *Setup) { s.AuthMount = "token" },
	} {
		wrong := s
		wrong.PolicyName = "never-made"
		spoil(&wrong)
		if _, done, err := c.SetUp(context.WithoutCancel(t.Context()), wrong); err == nil || len(done) > 0 || !strings.Contains(err.Error(), "it is ") {
			t.Errorf("%s: %+v, %v", name, done, err)
		}
	}
	if rules, err := c.api.Sys().GetPolicyWithContext(t.Context(), "never-made"); err != nil || rules != "" {
		t.Errorf("a wrong answer left a policy behind: %q, %v", rules, err)
	}
}

// TestSetUpLooksFirst: setup finds every obstacle before it creates anything, and creates only what is missing. The
// fake follows Vault's API documentation; TestSetUp sends the same requests to a real Vault.
func TestSetUpLooksFirst(t *testing.T) {
	for name, tc := range map[string]struct {
		mounts, auth, policy, role string
		made                       []string
		fails                      string
	}{
		"nothing is there":  {`{}`, `{}`, "", "", []string{"sys/mounts/secret", "sys/policies/acl/certroll-apply", "sys/auth/approle", "auth/approle/role/certroll"}, ""},
		"all is there":      {`{"secret/": {"type": "kv", "options": {"version": "2"}}}`, `{"approle/": {"type": "approle"}}`, "path", `{"token_policies": ["certroll-apply"]}`, nil, ""},
		"KV version 1":      {`{"secret/": {"type": "kv", "options": null}}`, `{}`, "", "", nil, "not KV version 2"},
		"another login":     {`{"secret/": {"type": "kv", "options": {"version": "2"}}}`, `{"approle/": {"type": "userpass"}}`, "", "", nil, "not AppRole"},
		"the role is there": {`{}`, `{"approle/": {"type": "approle"}}`, "other", `{"token_policies": ["other"]}`, []string{"sys/mounts/secret"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var made []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				path := strings.TrimPrefix(r.URL.Path, "/v1/")
				if r.Method != http.MethodGet {
					made = append(made, path)
					w.WriteHeader(http.StatusNoContent)
					return
				}
				data := map[string]string{"sys/mounts": tc.mounts, "sys/auth": tc.auth, "auth/approle/role/certroll": tc.role, "auth/approle/role/certroll/role-id": `{"role_id": "an-id"}`}[path]
				if path == "sys/policies/acl/certroll-apply" && tc.policy != "" {
					data = fmt.Sprintf(`{"name": "certroll-apply", "policy": %q}`, tc.policy)
				}
				if data == "" {
					w.WriteHeader(http.StatusNotFound)
					fmt.Fprint(w, `{"errors":[]}`)
					return
				}
				fmt.Fprintf(w, `{"data": %s}`, data)
			}))
			defer server.Close()
			t.Setenv("VAULT_TOKEN", "a-token")
			c, err := New(Options{Address: server.URL})
			if err == nil {
				err = c.Login(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			id, done, err := c.SetUp(t.Context(), Setup{Mount: "secret", PolicyName: "certroll-apply", Policy: "path", AuthMount: "approle", Role: "certroll", TokenTTL: "1h"})
			if !slices.Equal(made, tc.made) {
				t.Errorf("made %q, want %q", made, tc.made)
			}
			if tc.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fails) {
					t.Errorf("%v, want %q", err, tc.fails)
				}
				return
			}
			if err != nil || id != "an-id" {
				t.Errorf("%q, %v", id, err)
			}
			for _, d := range done {
				if kept := tc.policy == "other" && (strings.HasPrefix(d.What, "policy") || strings.HasPrefix(d.What, "role")); d.Differs != kept {
					t.Errorf("%+v", d)
				}
			}
		})
	}
}
