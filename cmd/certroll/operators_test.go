package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"os"
	"reflect"
	"regexp"
	"testing"

	"go.yaml.in/yaml/v3"
)

// manifest is a YAML document.
type manifest map[string]any

// manifests returns the documents in a file, by kind.
func manifests(t *testing.T, name string) map[string]manifest {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]manifest{}
	for decoder := yaml.NewDecoder(bytes.NewReader(b)); ; {
		var m manifest
		err := decoder.Decode(&m)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		found[m.text(t, "kind")] = m
	}
}

// at follows field names and takes the first element of a list.
func (m manifest) at(t *testing.T, names ...string) any {
	t.Helper()
	var node any = map[string]any(m)
	for _, name := range names {
		if list, ok := node.([]any); ok && len(list) > 0 {
			node = list[0]
		}
		if inner, ok := node.(manifest); ok {
			node = map[string]any(inner)
		}
		fields, ok := node.(map[string]any)
		if !ok || fields[name] == nil {
			t.Fatalf("there is no %s of %v", name, names)
		}
		node = fields[name]
	}
	return node
}

func (m manifest) text(t *testing.T, names ...string) string {
	t.Helper()
	s, ok := m.at(t, names...).(string)
	if !ok {
		t.Fatalf("%v is no text", names)
	}
	return s
}

// operators: the manifests refer to each other and to the fields that the preset "kubernetes" writes. Each operator
// makes a TLS secret from them.
func operators(w *world) {
	t := w.t.(*testing.T)
	preset := w.secret("tls/web")

	es := manifests(t, consumers+"kubernetes/external-secrets.yaml")
	store, external := es["SecretStore"], es["ExternalSecret"]
	if store.text(t, "metadata", "name") != external.text(t, "spec", "secretStoreRef", "name") {
		t.Error("the ExternalSecret is of another store")
	}
	if path := store.text(t, "spec", "provider", "vault", "path") + "/" + external.text(t, "spec", "dataFrom", "extract", "key"); path != "secret/tls/web" {
		t.Errorf("External Secrets reads %s", path)
	}
	tlsSecret(t, external.text(t, "spec", "target", "template", "type"), preset)

	vso := manifests(t, consumers+"kubernetes/vault-secrets-operator.yaml")
	connection, login, static := vso["VaultConnection"], vso["VaultAuth"], vso["VaultStaticSecret"]
	if connection.text(t, "metadata", "name") != login.text(t, "spec", "vaultConnectionRef") || login.text(t, "metadata", "name") != static.text(t, "spec", "vaultAuthRef") {
		t.Error("the VaultStaticSecret does not lead to the connection")
	}
	if path := static.text(t, "spec", "mount") + "/" + static.text(t, "spec", "path"); path != "secret/tls/web" {
		t.Errorf("the Vault Secrets Operator reads %s", path)
	}
	for _, audiences := range []any{
		store.at(t, "spec", "provider", "vault", "auth", "kubernetes", "serviceAccountRef", "audiences"),
		login.at(t, "spec", "kubernetes", "audiences"),
	} {
		if !reflect.DeepEqual(audiences, []any{"vault"}) {
			t.Errorf("the tokens are for %v, and the role of the README is for vault", audiences)
		}
	}
	included := maps.Clone(preset)
	maps.DeleteFunc(included, func(field, _ string) bool { return !includes(t, static, field) })
	tlsSecret(t, static.text(t, "spec", "destination", "type"), included)
	if len(included) != 2 {
		t.Errorf("it includes %d fields, want certificate and key", len(included))
	}
}

// includes reports whether a field passes a VaultStaticSecret's filter.
func includes(t *testing.T, static manifest, field string) bool {
	t.Helper()
	for _, pattern := range static.at(t, "spec", "destination", "transformation", "includes").([]any) {
		if regexp.MustCompile(pattern.(string)).MatchString(field) {
			return true
		}
	}
	return false
}

// tlsSecret requires what Kubernetes requires of such a secret, and a matching pair.
func tlsSecret(t *testing.T, kind string, data map[string]string) {
	t.Helper()
	if kind != "kubernetes.io/tls" {
		t.Errorf("the secret's type is %s", kind)
	}
	if _, err := tls.X509KeyPair([]byte(data["tls.crt"]), []byte(data["tls.key"])); err != nil {
		t.Errorf("tls.crt and tls.key: %v", err)
	}
}
