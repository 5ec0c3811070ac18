package simulation_test

import (
	"fmt"
	"testing"
	"time"

	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
	"certroll/spec"
)

// TestFallbackOfMany checks a first CA that is down and held as a whole, so that most
// certificates never try it. They must use the next CA, and none may expire.
func TestFallbackOfMany(t *testing.T) {
	for name, tc := range map[string]struct {
		lifetime, step time.Duration
		fallbacks      []string
	}{
		"90 days":              {90 * times.Day, 2 * time.Hour, []string{"gts"}},
		"160 hours":            {160 * time.Hour, 20 * time.Minute, []string{"gts"}},
		"two that do not work": {90 * times.Day, 2 * time.Hour, []string{"zero", "gts"}},
	} {
		t.Run(name, func(t *testing.T) {
			var cs []*spec.Certificate
			for i := range 40 {
				c := reconciletest.Certificate(fmt.Sprintf("c%02d", i), fmt.Sprintf("c%02d.example.com", i))
				c.Fallbacks, c.Renewal.FallbackAfter = tc.fallbacks, 72*time.Hour
				cs = append(cs, c)
			}
			w := reconciletest.NewWorld(t, cs...)
			for _, name := range tc.fallbacks {
				w.Desired.Issuers[name] = &spec.Issuer{Name: name, Directory: "https://" + name + ".example/dir"}
			}
			w.Ca.Lifetime = tc.lifetime
			w.Settle()
			w.Ca.Fail = func(op string, _ int) error {
				if op == "order ca" || op == "order zero" {
					return &reconciletest.CaError{Code: "ca_unavailable", Text: "503 away"}
				}
				return nil
			}
			for w.At = reconciletest.Start.Add(tc.lifetime * 2 / 3); w.At.Before(reconciletest.Start.Add(tc.lifetime)); w.At = w.At.Add(tc.step) {
				if _, err := w.Apply(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			for _, c := range cs {
				if l := w.Ledger.Record(t, c.Name).Live; l.Issuer != "gts" {
					t.Errorf("%s is from issuer.%s, and expires %s", c.Name, l.Issuer, l.NotAfter)
				}
			}
		})
	}
}
