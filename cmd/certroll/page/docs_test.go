package page

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"certroll/reconcile/ledger"
)

// TestDocs: the docs describe every state and every JSON field.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../../docs/page.md")
	if err != nil {
		t.Fatal(err)
	}
	described := func(name string) bool { return strings.Contains(string(text), "`"+name+"`") }
	for _, s := range ledger.States {
		if !described(string(s)) {
			t.Errorf("the state %s is not described", s)
		}
	}
	for _, s := range []any{Status{}, Certificate{}, Pass{}, Revision{}, NotTaken{}, Window{}, Planned{}, Work{}} {
		for f := range reflect.TypeOf(s).Fields() {
			if name := f.Tag.Get("json"); f.IsExported() && name != "-" && !described(name) {
				t.Errorf("%T.%s is not described", s, name)
			}
		}
	}
}
