package page

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
)

// TestAtWork: the page shows the certificates at work, their start and their step at the time of the request, not at
// the end of the last pass.
func TestAtWork(t *testing.T) {
	s, _ := serving(t, ten())
	looked := func() Status {
		t.Helper()
		var status Status
		if err := json.Unmarshal(get(s, "/status.json").Body.Bytes(), &status); err != nil {
			t.Fatal(err)
		}
		return status
	}
	if body := get(s, "/status.json").Body.String(); !strings.Contains(body, `"at_work":[]`) {
		t.Errorf("with nobody at work: %.300s", body)
	}
	works := []plan.Work{{Certificate: "search", Operation: ledger.KindIssue, Since: noon.Add(-95 * time.Minute), Step: "account"}}
	s.Watch(func() []Work { return Works(works) })
	for _, at := range []string{"account", "order", "validate"} {
		works[0].Step = at
		if got := looked().AtWork; len(got) != 1 || got[0] != (Work{"search", ledger.KindIssue, noon.Add(-95 * time.Minute).UTC(), at, ""}) {
			t.Errorf("at the step %s: %+v", at, got)
		}
	}
	works[0].Detail = "waiting for the CA to <look>"
	for address, want := range map[string]string{
		"/":                    `<h2 id="work">At work</h2>`,
		"/?q=search":           "<b>at work since 2026-11-25 10:25 UTC</b>",
		"/certificates/search": "validate: waiting for the CA to &lt;look&gt;",
	} {
		if body := get(s, address).Body.String(); !strings.Contains(body, want) {
			t.Errorf("%s lacks %q", address, want)
		}
	}
	if body := get(s, "/").Body.String(); strings.Contains(body, "to issue") {
		t.Error("what is at work is in the plan that waits")
	}
	works = nil
	for i := range 40 {
		works = append(works, plan.Work{Certificate: fmt.Sprintf("c%d", i), Operation: ledger.KindRenew, Since: noon, Step: "order"})
	}
	if body := get(s, "/").Body.String(); !strings.Contains(body, "40 under way") || !strings.Contains(body, "and 34 more") {
		t.Error("of forty the page does not show the first and count the rest")
	}
}
