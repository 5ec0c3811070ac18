package vault

import (
	"maps"
	"net/http"
	"testing"
)

// TestAnchor: only a client that has read the latest checkpoint can replace it, even after someone deleted the
// checkpoint by hand.
func TestAnchor(t *testing.T) {
	v := server(t)
	kv := NewKV(newClient(t, v, v.Token))
	a, b := NewAnchor(kv, "secret", "certroll/anchor/x"), NewAnchor(kv, "secret", "certroll/anchor/x")
	load := func(a *Anchor, want map[string]string) int {
		t.Helper()
		fields, version, err := a.Load(t.Context())
		if err != nil || !maps.Equal(fields, want) || (fields == nil) != (want == nil) {
			t.Fatalf("it holds %v, %v; want %v", fields, err, want)
		}
		return version
	}
	store := func(a *Anchor, head string, version int, want bool) {
		t.Helper()
		err := a.Store(t.Context(), map[string]string{"head": head}, version)
		if (err == nil) != want || err != nil && !isConflict(err) {
			t.Fatalf("storing %s gives %v, want it done: %v", head, err, want)
		}
	}
	first := load(a, nil)
	store(a, "1", first, true)
	store(b, "2", first, false)
	store(b, "2", load(b, map[string]string{"head": "1"}), true)
	for _, how := range []string{"secret/data/", "secret/metadata/"} {
		if err := v.API(t.Context(), http.MethodDelete, how+"certroll/anchor/x", nil, nil); err != nil {
			t.Fatal(err)
		}
		store(a, "3", load(a, nil), true)
	}
	load(b, map[string]string{"head": "3"})

	// The policy for apply covers the checkpoint's path; the policy for plan does not.
	t.Run("policies", func(t *testing.T) {
		apply := NewAnchor(NewKV(limited(t, v, "apply", policy(t, "apply"))), "secret", "certroll/anchor/x")
		store(apply, "4", load(apply, map[string]string{"head": "3"}), true)
		plan := NewAnchor(NewKV(limited(t, v, "plan", policy(t, "plan"))), "secret", "certroll/anchor/x")
		if fields, _, err := plan.Load(t.Context()); err == nil || !forbidden(err) {
			t.Errorf("the plan's policy reads %v, %v", fields, err)
		}
	})
}
