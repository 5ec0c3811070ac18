package view

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"certroll/reconcile/monitor"
)

// TestDocs: the docs describe every JSON field of every command.
func TestDocs(t *testing.T) {
	for file, parts := range map[string]map[string][]any{
		"plan.md": {"# The plan as JSON": {Plan{}, Offline{}}, "## Actions": {Action{}},
			"## Review and change": {Note{}, Change{}, Base{}, BlockChange{}, CertificateChange{}, Setting{}}, "## The result of apply": {Result{}}},
		"pull-requests.md": {"## validate as JSON": {Validation{}, Diagnostic{}}},
		"probe.md":         {"## As JSON": {Probed{}, monitor.Result{}}},
		"asking.md": {
			"## audit\n": {Audit{}}, "## audit verify": {Verified{}}, "## expiring": {Expiring{}, Expiry{}},
			"## status": {Status{}, Story{}}, "## explain": {Explanation{}, Rule{}}, "## retry": {Retry{}, Retried{}},
		},
	} {
		b, err := os.ReadFile("../../../docs/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for heading, structs := range parts {
			_, text, found := strings.Cut(string(b), heading)
			if !found {
				t.Fatalf("docs/%s has no %q", file, heading)
			}
			text, _, _ = strings.Cut(text, "\n## ")
			for _, s := range structs {
				for f := range reflect.TypeOf(s).Fields() {
					name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
					if f.IsExported() && !strings.Contains(text, "`"+name+"`") && !strings.Contains(text, `"`+name+`"`) {
						t.Errorf("docs/%s, %s: %T.%s is not described", file, strings.TrimSpace(heading), s, name)
					}
				}
			}
		}
	}
}
