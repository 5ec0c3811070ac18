package providers

import (
	"strings"
	"testing"
)

// TestEveryVariableIsClassified: a person has decided for each variable whether it selects another server. A variable
// that lego adds is rejected until then.
func TestEveryVariableIsClassified(t *testing.T) {
	known := map[string]bool{}
	for code, names := range providerTable {
		for _, name := range names {
			known[name] = true
			if refusedVariable(name) == "" && KindOf(name) == Unclassified {
				t.Errorf("%s of %s is not classified: see lego's source, and add it to a table of variables.go", name, code)
			}
			if _, special := specialVariables[name]; special && plainVariables[name] {
				t.Errorf("%s is classified twice", name)
			}
		}
	}
	for name := range specialVariables {
		if !known[name] {
			t.Errorf("no provider has %s", name)
		}
		if KindOf(name) == Choice && len(choices[name]) == 0 {
			t.Errorf("%s has no choices", name)
		}
	}
	for name := range plainVariables {
		if !known[name] {
			t.Errorf("no provider has %s", name)
		}
		for _, word := range []string{"URL", "HOST", "ENDPOINT", "NAMESERVER", "REGION", "SERVER_ADDRESS"} {
			if strings.HasSuffix(name, "_"+word) {
				t.Errorf("%s is said to lead nowhere, and is called %s", name, word)
			}
		}
	}
}
