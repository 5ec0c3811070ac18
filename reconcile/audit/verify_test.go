package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"certroll/reconcile/archive"
	"certroll/reconcile/audit"
	"certroll/reconcile/ledger"
	"certroll/reconcile/reconciletest"
)

// memPast is an in-memory branch, the root commit first.
type memPast []memCommit

type memCommit struct {
	id      string
	parents []string // nil: the previous commit
	tree    fstest.MapFS
}

// lentFS is readable only during the walk.
type lentFS struct {
	fstest.MapFS
	over *bool
}

func (l lentFS) ReadFile(name string) ([]byte, error) {
	if *l.over {
		return nil, fs.ErrClosed
	}
	return l.MapFS.ReadFile(name)
}

func (p memPast) Walk(_ context.Context, visit func(string, []string, fs.FS) error) error {
	over := false
	defer func() { over = true }()
	for i := len(p) - 1; i >= 0; i-- {
		parents := p[i].parents
		if parents == nil && i > 0 {
			parents = []string{p[i-1].id}
		}
		if err := visit(p[i].id, parents, lentFS{p[i].tree, &over}); err != nil {
			return err
		}
	}
	return nil
}

// logged returns n chained events over two months, each in its own commit.
func logged(t *testing.T, n int) memPast {
	t.Helper()
	var past memPast
	tree := fstest.MapFS{"STATUS.md": {Data: []byte("x")}}
	for i := range n {
		at := reconciletest.Start.AddDate(0, 0, 5*i)
		files, err := archive.AppendEvents(tree, []ledger.Event{{ID: fmt.Sprintf("e%d", i), Time: at, Operation: ledger.KindRenew, Certificate: "api", Status: ledger.Success}}, at)
		if err != nil {
			t.Fatal(err)
		}
		tree = fstest.MapFS(reconciletest.MapFS(tree).With(files))
		past = append(past, memCommit{id: fmt.Sprintf("c%d", i), tree: tree})
	}
	return past
}

// lines returns the lines of a file of the head.
func (p memPast) lines(file string) []string {
	return strings.SplitAfter(strings.TrimSuffix(string(p[len(p)-1].tree[file].Data), "\n"), "\n")
}

// then adds a commit with these files.
func (p memPast) then(files map[string]string) memPast {
	edit := map[string][]byte{}
	for name, text := range files {
		edit[name] = []byte(text)
	}
	return append(p, memCommit{id: fmt.Sprintf("c%d", len(p)), tree: fstest.MapFS(reconciletest.MapFS(p[len(p)-1].tree).With(edit))})
}

func TestVerifyTrail(t *testing.T) {
	const nov, dec = "audit/2026/11.jsonl", "audit/2026/12.jsonl"
	cases := map[string]struct {
		change   func(p memPast) memPast
		findings []string // "commit file line: problem", each a part of the finding
		words    string   // parts of the expected and the found text
	}{
		"in order": {change: func(p memPast) memPast { return p }},
		"a commit that leaves the log alone": {change: func(p memPast) memPast {
			return p.then(map[string]string{"STATUS.md": "y"})
		}},
		"a line rewritten": {change: func(p memPast) memPast {
			l := p.lines(nov)
			return p.then(map[string]string{nov: l[0] + strings.Replace(l[1], "api", "web", 1) + "\n"})
		}, findings: []string{"c6 " + nov + " 2: not only appended", "c2 " + dec + " 1: the chain is broken"}, words: `"certificate":"web"`},
		"a line dropped": {change: func(p memPast) memPast {
			l := p.lines(dec)
			return p.then(map[string]string{dec: l[0] + strings.Join(l[2:], "") + "\n"})
		}, findings: []string{"c6 " + dec + " 2: not only appended", "c6 " + dec + " 2: the chain is broken"}},
		"the last line dropped": {change: func(p memPast) memPast {
			l := p.lines(dec)
			return p.then(map[string]string{dec: strings.Join(l[:3], "")})
		}, findings: []string{"c6 " + dec + " 4: not only appended"}, words: "(the end of the file)"},
		"rewritten with a chain of its own": {change: func(p memPast) memPast {
			other := memPast{{id: "x", tree: fstest.MapFS{}}}
			for i, text := range p.lines(nov) {
				var e ledger.Event
				if err := json.Unmarshal([]byte(text), &e); err != nil {
					panic(err)
				}
				e.Certificate = "web"
				files, err := archive.AppendEvents(other[0].tree, []ledger.Event{e}, e.Time)
				if err != nil {
					panic(i)
				}
				other[0].tree = fstest.MapFS(reconciletest.MapFS(other[0].tree).With(files))
			}
			return append(p, memCommit{id: "c6", tree: other[0].tree})
		}, findings: []string{"c6 " + nov + " 1: not only appended", "c6 " + dec + " 0: removed"}},
		"put back later": {change: func(p memPast) memPast {
			whole := string(p[len(p)-1].tree[dec].Data)
			return p.then(map[string]string{dec: ""}).then(map[string]string{dec: whole})
		}, findings: []string{"c6 " + dec + " 1: not only appended"}},
		"a file removed": {change: func(p memPast) memPast {
			tree := fstest.MapFS{nov: p[len(p)-1].tree[nov]}
			return append(p, memCommit{id: "c6", tree: tree})
		}, findings: []string{"c6 " + dec + " 0: removed"}},
		"a line slipped in before": {change: func(p memPast) memPast {
			return p.then(map[string]string{nov: string(p[len(p)-1].tree[nov].Data) + `{"schema":1,"id":"x","time":"2026-11-30T00:00:00Z","operation":"renew","status":"success","prev":"` + ledger.LineHash([]byte(strings.TrimSpace(p.lines(nov)[1]))) + "\"}\n"})
		}, findings: []string{"c2 " + dec + " 1: the chain is broken"}},
		"a merge": {change: func(p memPast) memPast {
			p = p.then(map[string]string{"STATUS.md": "y"})
			p[6].parents = []string{"c5", "side"}
			return p
		}, findings: []string{"c6  0: a merge"}, words: "2 parents: c5 side"},
		"no event": {change: appended(dec, "hello\n"), findings: []string{"c6 " + dec + " 5: it is no event"}, words: "hello"},
		"an unknown schema": {change: appended(dec, `{"schema":2,"id":"x","time":"2026-12-30T00:00:00Z","operation":"renew","status":"success","prev":"PREV"}`+"\n"),
			findings: []string{"c6 " + dec + " 5: a schema that"}, words: "schema 2"},
		"no operation": {change: appended(dec, `{"schema":1,"id":"x","time":"2026-12-30T00:00:00Z","status":"success","prev":"PREV"}`+"\n"),
			findings: []string{"c6 " + dec + " 5: an id, a time, an operation"}},
		"a line without an end": {change: appended(dec, `{"schema":1,"id":"x","time":"2026-12-30T00:00:00Z","operation":"renew","status":"success","prev":"PREV"}`),
			findings: []string{"c6 " + dec + " 5: does not end"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			past := tc.change(logged(t, 6))
			trail, err := audit.VerifyTrail(t.Context(), past, false)
			if err != nil {
				t.Fatal(err)
			}
			if trail.Commits != len(past) || trail.Head != past[len(past)-1].id {
				t.Errorf("%d commits, head %s", trail.Commits, trail.Head)
			}
			if len(tc.findings) == 0 && (trail.Events != 6 || trail.Files != 2) {
				t.Errorf("%d events in %d files", trail.Events, trail.Files)
			}
			checkFindings(t, trail.Findings, tc.findings, tc.words)
		})
	}
}

func appended(file, text string) func(memPast) memPast {
	return func(p memPast) memPast {
		l := p.lines(file)
		return p.then(map[string]string{file: string(p[len(p)-1].tree[file].Data) + strings.Replace(text, "PREV", ledger.LineHash([]byte(strings.TrimSpace(l[len(l)-1]))), 1)})
	}
}

func checkFindings(t *testing.T, got []archive.Breach, want []string, words string) {
	t.Helper()
	var all []string
	for _, f := range got {
		all = append(all, fmt.Sprintf("%s %s %d: %s\n  expected %s\n  seen %s", f.Commit, f.File, f.Line, f.Problem, f.Expected, f.Seen))
	}
	said := strings.Join(all, "\n")
	if len(got) != len(want) {
		t.Fatalf("%d findings, want %d:\n%s", len(got), len(want), said)
	}
	for _, w := range want {
		where, problem, _ := strings.Cut(w, ": ")
		found := false
		for i, f := range got {
			found = found || strings.HasPrefix(all[i], where+": ") && strings.Contains(f.Problem, problem)
		}
		if !found {
			t.Errorf("no finding %q in\n%s", w, said)
		}
	}
	if !strings.Contains(said, words) {
		t.Errorf("%q is not in\n%s", words, said)
	}
}

// TestVerifyTrailMerges checks that merge commits, as people make them on a shared
// branch, are no finding.
func TestVerifyTrailMerges(t *testing.T) {
	past := logged(t, 3)
	past[2].parents = []string{"c1", "side"}
	trail, err := audit.VerifyTrail(t.Context(), past, true)
	if err != nil || len(trail.Findings) != 0 {
		t.Errorf("%+v, %v", trail, err)
	}
}

func TestVerifyTrailEmpty(t *testing.T) {
	trail, err := audit.VerifyTrail(t.Context(), memPast{}, false)
	if err != nil || trail.Commits != 0 || trail.Head != "" || len(trail.Findings) != 0 {
		t.Errorf("%+v, %v", trail, err)
	}
}

type brokenFS struct{ fstest.MapFS }

func (brokenFS) ReadFile(string) ([]byte, error) { return nil, errors.New("the disk is broken") }

// TestVerifyTrailUnreadable checks that a read error fails the verification instead of
// becoming a finding.
func TestVerifyTrailUnreadable(t *testing.T) {
	walk := walkFunc(func(visit func(string, []string, fs.FS) error) error {
		return visit("c0", nil, brokenFS{logged(t, 1)[0].tree})
	})
	if _, err := audit.VerifyTrail(t.Context(), walk, false); err == nil || !strings.Contains(err.Error(), "the disk is broken") {
		t.Errorf("error: %v", err)
	}
}

type walkFunc func(visit func(string, []string, fs.FS) error) error

func (f walkFunc) Walk(_ context.Context, visit func(string, []string, fs.FS) error) error {
	return f(visit)
}

// TestVerifyTrailBounds checks that the number of findings is bounded: a replaced log
// is not reported line by line.
func TestVerifyTrailBounds(t *testing.T) {
	past := memPast{{id: "c0", tree: fstest.MapFS{"audit/2026/11.jsonl": {Data: []byte(strings.Repeat("x\n", 500))}}}}
	trail, err := audit.VerifyTrail(t.Context(), past, false)
	if err != nil || len(trail.Findings) != archive.MostFindings || trail.More != 500-archive.MostFindings {
		t.Errorf("%d findings and %d more, %v", len(trail.Findings), trail.More, err)
	}
}
