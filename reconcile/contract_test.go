package reconcile_test

import (
	"testing"

	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
)

// TestPathWithItsMount checks the warning for a vault.path that begins with the mount
// or with data/. The paths of vault kv get and of the HTTP API begin that way.
func TestPathWithItsMount(t *testing.T) {
	for path, warning := range map[string]string{
		"tls/api":        "",
		"secrets/api":    "",
		"secret/tls/api": "the secret is secret/secret/tls/api",
		"data/tls/api":   "the secret is secret/data/tls/api",
	} {
		v := reconciletest.NewView()
		v.Secret, v.Record, v.C.Vault.Path = plan.Secret{}, nil, path
		reconciletest.ExpectWarning(t, v.At(0), warning)
	}
}
