package reconcile

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestQuery(t *testing.T) {
	events := []Event{
		{ID: "issued", Time: start, Operation: KindIssue, Certificate: "api", Status: Success, Issuer: "ca"},
		{ID: "failed", Time: start.Add(3 * time.Hour), Operation: KindRenew, Certificate: "api", Status: Failed, Issuer: "ca", Class: ClassCAA},
		{ID: "denied", Time: start.Add(time.Hour), Operation: KindAdopt, Certificate: "web", Status: Denied, Class: ClassConfig},
		{ID: "paging", Time: start.Add(40 * day), Operation: KindRenew, Certificate: "api", Status: Failed, Issuer: "other", Class: ClassVault, Severity: SeverityPage},
		{ID: "held", Time: start.Add(41 * day), Operation: KindHold, Status: Held, Reason: ReasonLimit},
	}
	tree := fstest.MapFS{}
	for _, e := range events {
		files, err := appendEvents(tree, []Event{e}, e.Time)
		if err != nil {
			t.Fatal(err)
		}
		tree = fstest.MapFS(mapFS(tree).with(files))
	}
	cases := map[string]struct {
		query Query
		want  string
	}{
		"all, by time":      {Query{}, "issued denied failed paging held"},
		"an operation":      {Query{Operation: KindRenew}, "failed paging"},
		"a status":          {Query{Status: Held}, "held"},
		"errors":            {Query{Status: StatusError}, "denied failed paging"},
		"a certificate":     {Query{Certificate: "api"}, "issued failed paging"},
		"an issuer":         {Query{Issuer: "ca"}, "issued failed"},
		"issuer.NAME":       {Query{Issuer: "issuer.other"}, "paging"},
		"a class":           {Query{Class: ClassCAA}, "failed"},
		"a severity":        {Query{Severity: SeverityPage}, "paging"},
		"since":             {Query{Since: start.Add(30 * day)}, "paging held"},
		"to the second":     {Query{Since: start.Add(3 * time.Hour)}, "failed paging held"},
		"several":           {Query{Status: StatusError, Certificate: "api", Since: start.Add(30 * day)}, "paging"},
		"nothing like that": {Query{Certificate: "gone"}, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := tc.query.Events(tree)
			if err != nil {
				t.Fatal(err)
			}
			ids := make([]string, len(got))
			for i, e := range got {
				ids[i] = e.ID
			}
			if s := strings.Join(ids, " "); s != tc.want {
				t.Errorf("got %s, want %s", s, tc.want)
			}
		})
	}
}
