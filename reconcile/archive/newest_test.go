package archive_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
)

// TestNewest checks that Newest returns the requested number of a certificate's newest
// events over several files, and whether there are more.
func TestNewest(t *testing.T) {
	at := time.Date(2026, 10, 30, 12, 0, 0, 0, time.UTC)
	files := map[string]*strings.Builder{}
	for i := range 60 {
		e := ledger.Event{Schema: 1, ID: fmt.Sprint(i), Time: at.Add(time.Duration(i) * time.Hour), Operation: ledger.KindRenew, Status: ledger.Success,
			Certificate: "other", Message: `of "api"`}
		if i%3 == 0 {
			e.Certificate, e.Message = "api", ""
		}
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		name := archive.AuditFile(e.Time)
		if files[name] == nil {
			files[name] = &strings.Builder{}
		}
		files[name].Write(append(line, '\n'))
	}
	if len(files) != 2 {
		t.Fatalf("%d files, want two months", len(files))
	}
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text.String())}
	}
	for _, c := range []struct {
		n, got int
		more   bool
	}{{20, 20, false}, {19, 19, true}, {100, 20, false}, {2, 2, true}} {
		events, more, err := archive.Query{Certificate: "api"}.Newest(tree, c.n)
		if err != nil || len(events) != c.got || more != c.more {
			t.Errorf("asked for %d: got %d, more %t, %v; want %d, %t", c.n, len(events), more, err, c.got, c.more)
			continue
		}
		for i, e := range events {
			if want := fmt.Sprint(57 - 3*i); e.Certificate != "api" || e.ID != want {
				t.Errorf("asked for %d: event %d is %s of %s, want %s", c.n, i, e.ID, e.Certificate, want)
			}
		}
	}
	if events, more, err := (archive.Query{Certificate: "api"}).Newest(fstest.MapFS{}, 5); err != nil || len(events) != 0 || more {
		t.Errorf("an empty ledger: %v, %t, %v", events, more, err)
	}
}
