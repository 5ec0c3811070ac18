package archive_test

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
)

func TestQuery(t *testing.T) {
	events := []ledger.Event{
		{ID: "issued", Time: reconciletest.Start, Operation: ledger.KindIssue, Certificate: "api", Status: ledger.Success, Issuer: "ca"},
		{ID: "failed", Time: reconciletest.Start.Add(3 * time.Hour), Operation: ledger.KindRenew, Certificate: "api", Status: ledger.Failed, Issuer: "ca", Class: ledger.ClassCAA},
		{ID: "denied", Time: reconciletest.Start.Add(time.Hour), Operation: ledger.KindAdopt, Certificate: "web", Status: ledger.Denied, Class: ledger.ClassConfig},
		{ID: "paging", Time: reconciletest.Start.Add(40 * times.Day), Operation: ledger.KindRenew, Certificate: "api", Status: ledger.Failed, Issuer: "other", Class: ledger.ClassVault, Severity: ledger.SeverityPage},
		{ID: "held", Time: reconciletest.Start.Add(41 * times.Day), Operation: ledger.KindHold, Status: ledger.Held, Reason: ledger.ReasonLimit},
	}
	tree := fstest.MapFS{}
	for _, e := range events {
		files, err := archive.AppendEvents(tree, []ledger.Event{e}, e.Time)
		if err != nil {
			t.Fatal(err)
		}
		tree = fstest.MapFS(reconciletest.MapFS(tree).With(files))
	}
	cases := map[string]struct {
		query archive.Query
		want  string
	}{
		"all, by time":      {archive.Query{}, "issued denied failed paging held"},
		"an operation":      {archive.Query{Operation: ledger.KindRenew}, "failed paging"},
		"a status":          {archive.Query{Status: ledger.Held}, "held"},
		"errors":            {archive.Query{Status: ledger.StatusError}, "denied failed paging"},
		"a certificate":     {archive.Query{Certificate: "api"}, "issued failed paging"},
		"an issuer":         {archive.Query{Issuer: "ca"}, "issued failed"},
		"issuer.NAME":       {archive.Query{Issuer: "issuer.other"}, "paging"},
		"a class":           {archive.Query{Class: ledger.ClassCAA}, "failed"},
		"a severity":        {archive.Query{Severity: ledger.SeverityPage}, "paging"},
		"since":             {archive.Query{Since: reconciletest.Start.Add(30 * times.Day)}, "paging held"},
		"to the second":     {archive.Query{Since: reconciletest.Start.Add(3 * time.Hour)}, "failed paging held"},
		"several":           {archive.Query{Status: ledger.StatusError, Certificate: "api", Since: reconciletest.Start.Add(30 * times.Day)}, "paging"},
		"nothing like that": {archive.Query{Certificate: "gone"}, ""},
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
