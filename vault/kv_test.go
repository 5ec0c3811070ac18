package vault

import (
	"errors"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
)

func TestKV(t *testing.T) {
	v := server(t)
	kv := NewKV(newClient(t, v, v.Token))
	ctx := t.Context()

	if current, live, custom, err := kv.ReadMetadata(ctx, "secret", "tls/api"); current != 0 || live || custom != nil || err != nil {
		t.Errorf("nothing was written: %d %v %v %v", current, live, custom, err)
	}
	if _, _, err := kv.Read(ctx, "secret", "tls/api"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading nothing: %v", err)
	}
	first := map[string]string{"certificate": "one", "private_key": "two"}
	if version, err := kv.Write(ctx, "secret", "tls/api", first, 0); version != 1 || err != nil {
		t.Fatalf("write: %d, %v", version, err)
	}
	second := map[string]string{"certificate": "three"}
	if version, err := kv.Write(ctx, "secret", "tls/api", second, 1); version != 2 || err != nil {
		t.Fatalf("write: %d, %v", version, err)
	}
	custom := map[string]string{"managed_by": "certroll", "serial": "a1"}
	if err := kv.WriteMetadata(ctx, "secret", "tls/api", custom); err != nil {
		t.Fatal(err)
	}
	if data, version, err := kv.Read(ctx, "secret", "tls/api"); !maps.Equal(data, second) || version != 2 || err != nil {
		t.Errorf("read: %v %d %v", data, version, err)
	}
	if data, err := kv.ReadVersion(ctx, "secret", "tls/api", 1); !maps.Equal(data, first) || err != nil {
		t.Errorf("read version 1: %v %v", data, err)
	}
	if _, err := kv.ReadVersion(ctx, "secret", "tls/api", 7); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read version 7: %v", err)
	}
	if current, live, got, err := kv.ReadMetadata(ctx, "secret", "tls/api"); current != 2 || !live || !maps.Equal(got, custom) || err != nil {
		t.Errorf("metadata: %d %v %v %v", current, live, got, err)
	}
	if keys, err := kv.List(ctx, "secret", "tls"); !slices.Equal(keys, []string{"api"}) || err != nil {
		t.Errorf("list: %v %v", keys, err)
	}
	if keys, err := kv.List(ctx, "secret", "nothing"); len(keys) != 0 || err != nil {
		t.Errorf("list of nothing: %v %v", keys, err)
	}

	if err := kv.Delete(ctx, "secret", "tls/api"); err != nil {
		t.Fatal(err)
	}
	if current, live, _, err := kv.ReadMetadata(ctx, "secret", "tls/api"); current != 2 || live || err != nil {
		t.Errorf("metadata after delete: %d %v %v", current, live, err)
	}
	if _, _, err := kv.Read(ctx, "secret", "tls/api"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read after delete: %v", err)
	}
	if version, err := kv.Write(ctx, "secret", "tls/api", first, 2); version != 3 || err != nil {
		t.Errorf("write after delete: %d %v", version, err)
	}
	if err := kv.Destroy(ctx, "secret", "tls/api"); err != nil {
		t.Fatal(err)
	}
	if current, _, _, err := kv.ReadMetadata(ctx, "secret", "tls/api"); current != 0 || err != nil {
		t.Errorf("metadata after destroy: %d %v", current, err)
	}
	if err := kv.Destroy(ctx, "secret", "tls/api"); err != nil {
		t.Errorf("destroying nothing: %v", err)
	}
}

// TestMetadataBeforeData: KV v2 accepts metadata for a secret without versions. Such a secret has no version to read.
func TestMetadataBeforeData(t *testing.T) {
	v := server(t)
	kv := NewKV(newClient(t, v, v.Token))
	if err := kv.WriteMetadata(t.Context(), "secret", "early", map[string]string{"a": "b"}); err != nil {
		t.Fatal(err)
	}
	if current, live, custom, err := kv.ReadMetadata(t.Context(), "secret", "early"); current != 0 || live || custom["a"] != "b" || err != nil {
		t.Errorf("metadata: %d %v %v %v", current, live, custom, err)
	}
	if version, err := kv.Write(t.Context(), "secret", "early", map[string]string{"x": "y"}, 0); version != 1 || err != nil {
		t.Errorf("write: %d %v", version, err)
	}
}

// TestDeletionToCome: delete_version_after gives every version a future deletion time. The version is not deleted
// before that time.
func TestDeletionToCome(t *testing.T) {
	v := server(t)
	kv := NewKV(newClient(t, v, v.Token))
	call(t, v, http.MethodPost, "secret/metadata/brief", map[string]any{"delete_version_after": "2h"}, nil)
	if _, err := kv.Write(t.Context(), "secret", "brief", map[string]string{"x": "y"}, 0); err != nil {
		t.Fatal(err)
	}
	if _, live, _, err := kv.ReadMetadata(t.Context(), "secret", "brief"); !live || err != nil {
		t.Errorf("live: %v, %v", live, err)
	}
}

func TestCheckAndSet(t *testing.T) {
	v := server(t)
	kv := NewKV(newClient(t, v, v.Token))
	if _, err := kv.Write(t.Context(), "secret", "a", map[string]string{"x": "1"}, 0); err != nil {
		t.Fatal(err)
	}
	for _, cas := range []int{0, 2, 5} {
		_, err := kv.Write(t.Context(), "secret", "a", map[string]string{"x": "2"}, cas)
		mustSay(t, err, v, "writing secret/a", "Vault answered 400", "check-and-set parameter did not match", "plan again")
		if !isConflict(err) {
			t.Errorf("cas %d is no conflict: %v", cas, err)
		}
	}
	if data, _, err := kv.Read(t.Context(), "secret", "a"); data["x"] != "1" || err != nil {
		t.Errorf("it was overwritten: %v %v", data, err)
	}
}

// TestAnswerLost: Vault executes a write, the response is lost, and the API client retries. The retry of the successful
// write must not count as a conflict.
func TestAnswerLost(t *testing.T) {
	v := server(t)
	target, err := url.Parse(v.Addr)
	if err != nil {
		t.Fatal(err)
	}
	var lost atomic.Int32
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Method == http.MethodPut && r.StatusCode == http.StatusOK && lost.Add(1) == 1 {
				return errors.New("the answer is lost") // the client sees a 502
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	})
	defer proxy.Close()
	t.Setenv("VAULT_TOKEN", v.Token)
	c, err := New(Options{Address: proxy.URL})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	kv := NewKV(c)
	version, err := kv.Write(t.Context(), "secret", "a", map[string]string{"x": "1"}, 0)
	if version != 1 || err != nil || lost.Load() == 0 {
		t.Errorf("version %d, error %v, %d answers lost", version, err, lost.Load())
	}
}

// TestMetadataPolicy: plan works with a token that can read metadata and no secret.
func TestMetadataPolicy(t *testing.T) {
	v := server(t)
	call(t, v, http.MethodPost, "secret/data/tls/api", map[string]any{"data": map[string]string{"private_key": "x"}}, nil)
	call(t, v, http.MethodPost, "secret/data/certroll/pending/api", map[string]any{"data": map[string]string{"key": "x"}}, nil)
	kv := NewKV(limited(t, v, "plan", policy(t, "plan")))
	if keys, err := kv.List(t.Context(), "secret", "certroll/pending"); len(keys) != 1 || err != nil {
		t.Errorf("pending: %v %v", keys, err)
	}
	if _, _, err := kv.Read(t.Context(), "secret", "certroll/pending/api"); !forbidden(err) {
		t.Errorf("it read a pending key: %v", err)
	}
	if err := kv.Check(t.Context(), "secret"); err != nil {
		t.Error(err)
	}
	if current, _, _, err := kv.ReadMetadata(t.Context(), "secret", "tls/api"); current != 1 || err != nil {
		t.Errorf("metadata: %d %v", current, err)
	}
	_, _, err := kv.Read(t.Context(), "secret", "tls/api")
	mustSay(t, err, v, "reading secret/tls/api", "403", "permission denied", `path "secret/data/tls/api" { capabilities = ["read"] }`)
	_, err = kv.Write(t.Context(), "secret", "tls/api", nil, 1)
	mustSay(t, err, v, `path "secret/data/tls/api" { capabilities = ["create", "update"] }`)
	mustSay(t, kv.WriteMetadata(t.Context(), "secret", "tls/api", map[string]string{"a": "b"}), v,
		`path "secret/metadata/tls/api" { capabilities = ["create", "update"] }`)
	mustSay(t, kv.Destroy(t.Context(), "secret", "tls/api"), v, `path "secret/metadata/tls/api" { capabilities = ["delete"] }`)
}

func TestMounts(t *testing.T) {
	v := server(t)
	call(t, v, http.MethodPost, "sys/mounts/old", map[string]any{"type": "kv", "options": map[string]string{"version": "1"}}, nil)
	call(t, v, http.MethodPost, "sys/mounts/deep/kv", map[string]any{"type": "kv", "options": map[string]string{"version": "2"}}, nil)
	call(t, v, http.MethodPost, "sys/mounts/pki", map[string]any{"type": "pki"}, nil)
	kv := NewKV(newClient(t, v, v.Token))
	ctx := t.Context()
	if err := kv.Check(ctx, "deep/kv"); err != nil {
		t.Error(err)
	}
	mustSay(t, kv.Check(ctx, "old"), v, "KV version 1", "vault kv enable-versioning old/")
	mustSay(t, kv.Check(ctx, "pki"), v, "no KV secrets engine")
	mustSay(t, kv.Check(ctx, "nowhere"), v, "nowhere", "no such mount")
	// Paths of the KV engine's own API are not mounts: secret/data/certroll/data/x is a secret in the mount secret/.
	for _, at := range []string{"secret/data/certroll", "secret/tls", "deep/kv/data", "deep/kv/metadata"} {
		mount := map[bool]string{true: "secret", false: "deep/kv"}[at[0] == 's']
		mustSay(t, kv.Check(ctx, at), v, "it is no mount", "mount = \""+mount+"\"")
		_, err := kv.Write(ctx, at, "x", map[string]string{"a": "b"}, 0)
		mustSay(t, err, v, "it is no mount")
	}
	_, _, _, err := kv.ReadMetadata(ctx, "old", "tls/api")
	mustSay(t, err, v, "KV version 1")
	_, err = kv.Write(ctx, "old", "tls/api", map[string]string{"x": "y"}, 0)
	mustSay(t, err, v, "KV version 1")

	call(t, v, http.MethodPost, "old/dns/cf", map[string]string{"token": "from version 1"}, nil)
	call(t, v, http.MethodPost, "deep/kv/data/dns/cf", map[string]any{"data": map[string]any{"token": "from version 2", "ttl": 5, "none": ""}}, nil)
	for path, want := range map[string]string{"old/dns/cf": "from version 1", "deep/kv/dns/cf": "from version 2"} {
		if got, err := kv.Field(ctx, path, "token", nil); got != want || err != nil {
			t.Errorf("%s: %q %v", path, got, err)
		}
	}
	for _, c := range []struct{ path, field, says string }{
		{"deep/kv/dns/cf", "ttl", "no such field that is a text; correct the reference, or add the field: vault kv patch deep/kv/dns/cf ttl=-"}, {"deep/kv/dns/cf", "none", "the field is empty; write it: vault kv patch deep/kv/dns/cf none=-"},
		{"deep/kv/dns/gone", "token", "nothing to read; correct the reference, or store the secret: vault kv put deep/kv/dns/gone token=-"},
		{"old/dns/gone", "token", "store the secret: vault kv put old/dns/gone token=-"}, {"deep/kv/dns/a b", "token", "or store the secret"},
		{"pki/x", "token", "no KV secrets engine"}, {"nowhere/x", "token", "no such mount"},
	} {
		_, err := kv.Field(ctx, c.path, c.field, nil)
		mustSay(t, err, v, "reading the field "+c.field+" of "+c.path, c.says)
	}
}

func TestSealed(t *testing.T) {
	v := server(t)
	kv := NewKV(newClient(t, v, v.Token))
	if err := v.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustSay(t, kv.Check(t.Context(), "secret"), v, "503", "Vault is sealed", "vault operator unseal")
	if err := v.Unseal(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestOfPlace: a path outside the policy or a missing mount is an error of that path alone. A Vault that rejects the
// token is an error of all paths.
func TestOfPlace(t *testing.T) {
	v := server(t)
	kv := NewKV(limited(t, v, "narrow", `path "secret/metadata/tls/*" { capabilities = ["read"] }`))
	dead := NewKV(newClient(t, v, v.Token))
	dead.c.api.SetToken("hvs.no-token-of-this-server")
	cases := map[string]struct {
		kv          *KV
		mount, path string
		place       bool
	}{
		"a path that the policy leaves out": {kv, "secret", "other/api", true},
		"no such mount":                     {kv, "typo", "tls/api", true},
		"a token that is none":              {dead, "secret", "tls/api", false},
	}
	for name, tc := range cases {
		_, _, _, err := tc.kv.ReadMetadata(t.Context(), tc.mount, tc.path)
		var e *Error
		if !errors.As(err, &e) || e.OfPlace() != tc.place {
			t.Errorf("%s: %v", name, err)
		}
	}
}
