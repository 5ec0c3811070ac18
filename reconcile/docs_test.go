package reconcile_test

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"certroll/reconcile/ledger"
	"certroll/reconcile/reconciletest"
)

// section returns the part of a document below a heading.
func section(t *testing.T, file, heading string) string {
	t.Helper()
	b, err := os.ReadFile("../docs/" + file)
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(b), "\n## "+heading)
	if !found {
		t.Fatalf("docs/%s has no section %q", file, heading)
	}
	before, _, _ := strings.Cut(after, "\n## ")
	return before
}

// jsonNames returns the JSON names of a struct's fields.
func jsonNames(of any) []string {
	var names []string
	for f := range reflect.TypeOf(of).Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// TestDocsFields checks that the documentation describes every field of the ledger.
func TestDocsFields(t *testing.T) {
	for heading, structs := range map[string][]any{
		"Record": {ledger.Record{}, ledger.Live{}, ledger.Hold{}, ledger.Failure{}, ledger.Unmanaged{}, ledger.RenewalInfo{}, ledger.Revocation{}},
		"Event":  {ledger.Event{}, ledger.PassedOver{}},
	} {
		text := section(t, "ledger.md", heading)
		for _, s := range structs {
			for _, name := range jsonNames(s) {
				if !strings.Contains(text, "`"+name+"`") {
					t.Errorf("docs/ledger.md, section %s: %T.%s is not described", heading, s, name)
				}
			}
		}
	}
}

func wordsOf[T ~string](list []T) []string {
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = string(w)
	}
	return words
}

// TestDocsWords checks that the documentation lists every value of the ledger's fields.
func TestDocsWords(t *testing.T) {
	values := reconciletest.Constants(t, ".", "Kind", "Reason", "Class", "Status", "State", "Exemption", "Verdict")
	for typ, least := range map[string]int{"Kind": 13, "Reason": 29, "Class": 13, "Status": 4, "State": 15, "Exemption": 2, "Verdict": 3} {
		if len(values[typ]) < least {
			t.Errorf("only %d constants of type %s were found: %v", len(values[typ]), typ, values[typ])
		}
	}
	said := func(file, heading string, words []string, but ...string) {
		t.Helper()
		text := section(t, file, heading)
		for _, w := range words {
			if !slices.Contains(but, w) && !strings.Contains(text, "`"+w+"`") {
				t.Errorf("docs/%s, section %s: %q is not described", file, heading, w)
			}
		}
	}
	all := append(wordsOf(ledger.States), string(ledger.StateLive))
	if slices.Sort(all); !slices.Equal(all, slices.Sorted(slices.Values(values["State"]))) {
		t.Errorf("ledger.States and live are %v, and the constants are %v", all, values["State"])
	}
	said("ledger.md", "Record", wordsOf(ledger.StoredStates))
	said("ledger.md", "Event", slices.Concat(values["Kind"], values["Status"], values["Exemption"]), "none", string(ledger.StatusError))
	said("ledger.md", "Classes of failure", values["Class"])
	said("ledger.md", "Reasons", values["Reason"])
	said("asking.md", "expiring", wordsOf(ledger.RecordStates))
	said("probe.md", "Verdicts", slices.Concat(wordsOf(ledger.ServedClasses), values["Verdict"]))
	said("notifications.md", "Kinds", reconciletest.Constants(t, ".", "NoticeKind")["NoticeKind"])
	said("plan.md", "Actions", values["Kind"], string(ledger.KindConfig), string(ledger.KindRetry), string(ledger.KindPass), string(ledger.KindDoctor), string(ledger.KindProbe))
}
