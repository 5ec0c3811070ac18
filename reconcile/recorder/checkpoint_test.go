package recorder_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"certroll/reconcile/apply"
	"certroll/reconcile/archive"
	"certroll/reconcile/audit"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/statuspage"
)

// pastLedger is a MemLedger whose branch can be moved.
type pastLedger struct {
	*reconciletest.MemLedger
	head   string
	parent map[string]string
	trees  map[string]fstest.MapFS
}

func newPastLedger() *pastLedger {
	return &pastLedger{MemLedger: reconciletest.NewMemLedger(), parent: map[string]string{}, trees: map[string]fstest.MapFS{"": {}}}
}

func (l *pastLedger) Snapshot(ctx context.Context) (fs.FS, string, error) {
	tree, _, err := l.MemLedger.Snapshot(ctx)
	return tree, l.head, err
}

func (l *pastLedger) Commit(ctx context.Context, message string, edit func(fs.FS) (map[string][]byte, error)) (string, error) {
	commit, err := l.MemLedger.Commit(ctx, message, edit)
	if commit != "" {
		l.moveTo(l.record(commit, l.head))
	}
	return commit, err
}

func (l *pastLedger) record(commit, parent string) string {
	l.parent[commit], l.trees[commit] = parent, maps.Clone(l.Tree)
	return commit
}

func (l *pastLedger) moveTo(commit string) { l.head, l.Tree = commit, maps.Clone(l.trees[commit]) }

func (l *pastLedger) Descends(_ context.Context, commit string) (bool, error) {
	for at := l.head; at != ""; at = l.parent[at] {
		if at == commit {
			return true, nil
		}
	}
	return false, nil
}

// edited adds a commit by a stranger.
func (l *pastLedger) edited(commit, parent string, edit func(log string) string) {
	name := archive.AuditFile(reconciletest.Start)
	l.Tree[name] = &fstest.MapFile{Data: []byte(edit(string(l.Tree[name].Data)))}
	l.moveTo(l.record(commit, parent))
}

// mooredWorld is a world whose ledger has a checkpoint.
type mooredWorld struct {
	*reconciletest.World
	ledger  *pastLedger
	anchor  *reconciletest.MemAnchor
	reports []archive.Breach
}

func newMooredWorld(t *testing.T) *mooredWorld {
	m := &mooredWorld{World: reconciletest.NewWorld(t), ledger: newPastLedger(), anchor: &reconciletest.MemAnchor{}}
	m.World.Ledger = m.ledger.MemLedger
	m.Opts.Anchor = m.anchor
	m.Opts.Rewound = func(f archive.Breach) { m.reports = append(m.reports, f) }
	return m
}

// issue adds a certificate to the spec and applies in a new process.
func (m *mooredWorld) issue(name string) error {
	m.T.Helper()
	m.Desired.Certificates = append(m.Desired.Certificates, reconciletest.Certificate(name, name+".example.com"))
	return m.run()
}

func (m *mooredWorld) run() error {
	m.T.Helper()
	r := apply.New(&observe.Observer{Metadata: m.Vault, StateMount: "secret", StatePrefix: "certroll"}, m.Vault, m.Ca, m.ledger, m.Journal, m.Opts)
	obs, err := r.Observe(context.Background(), m.Desired)
	if err != nil {
		m.T.Fatal(err)
	}
	_, err = r.Apply(context.Background(), m.Desired, ledger.Revision{Commit: "c0ffee"}, plan.New(m.Desired, obs, m.At))
	return errors.Join(err, r.Unanchored())
}

func (m *mooredWorld) must(err error) {
	m.T.Helper()
	if err != nil {
		m.T.Fatal(err)
	}
}

// rewinds returns the events about rewinds.
func (m *mooredWorld) rewinds() []ledger.Event {
	m.T.Helper()
	return slices.DeleteFunc(m.ledger.Events(m.T), func(e ledger.Event) bool { return e.Reason != ledger.ReasonRewound })
}

// anchoredAt requires that the checkpoint is at the ledger's end.
func (m *mooredWorld) anchoredAt(head string) {
	m.T.Helper()
	events := fmt.Sprint(len(m.ledger.Events(m.T)))
	if f := m.anchor.Fields; f["head"] != head || f["events"] != events || f["line"] != events || f["file"] != archive.AuditFile(m.At) {
		m.T.Errorf("the anchor is at %v; the head is %s, with %s events", m.anchor.Fields, head, events)
	}
}

func TestAnchorFollowsThePushes(t *testing.T) {
	m := newMooredWorld(t)
	m.must(m.run())
	if m.anchor.Stores != 0 {
		t.Error("an empty ledger is anchored")
	}
	m.must(m.issue("a"))
	m.anchoredAt(m.ledger.head)
	m.must(m.issue("b"))
	m.anchoredAt(m.ledger.head)
	stores := m.anchor.Stores
	m.must(m.run())
	if m.anchor.Stores != stores {
		t.Error("it is written though nothing was pushed")
	}
	// The count continues in the next month.
	m.At = m.At.AddDate(0, 1, 0)
	m.Desired.Certificates = nil
	m.must(m.issue("c"))
	all := m.ledger.Events(t)
	if f := m.anchor.Fields; f["events"] != fmt.Sprint(len(all)) || f["file"] != archive.AuditFile(m.At) || f["line"] == f["events"] {
		t.Errorf("the anchor is at %v, there are %d events", f, len(all))
	}
	if len(m.rewinds())+len(m.reports) != 0 {
		t.Errorf("a rewind is told of: %+v", m.reports)
	}
}

// TestAnchorLags checks that neither a crash between push and checkpoint nor a push by
// somebody without Vault counts as a rewind.
func TestAnchorLags(t *testing.T) {
	m := newMooredWorld(t)
	m.must(m.issue("a"))
	before, version := maps.Clone(m.anchor.Fields), m.anchor.Version
	m.must(m.issue("b"))
	m.anchor.Fields, m.anchor.Version = before, version
	m.must(m.run())
	m.anchoredAt(m.ledger.head)
	if len(m.rewinds())+len(m.reports) != 0 {
		t.Errorf("a rewind is told of: %+v", m.reports)
	}
}

func TestRewindIsTold(t *testing.T) {
	drop := func(log string) string {
		return strings.Join(strings.SplitAfter(log, "\n")[:1], "")
	}
	for name, c := range map[string]struct {
		rewind  func(l *pastLedger, first string)
		reports []string
	}{
		"moved back":     {func(l *pastLedger, first string) { l.moveTo(first) }, []string{"does not go on from the head", "fewer events", "another line"}},
		"deleted":        {func(l *pastLedger, _ string) { l.moveTo("") }, []string{"does not go on from the head", "fewer events", "another line"}},
		"a line dropped": {func(l *pastLedger, _ string) { l.edited("tidy", l.head, drop) }, []string{"fewer events", "another line"}},
		"a line changed": {func(l *pastLedger, _ string) {
			l.edited("tidy", l.head, func(log string) string { return strings.ReplaceAll(log, `"success"`, `"failure"`) })
		}, []string{"another line"}},
		"made anew": {func(l *pastLedger, _ string) {
			l.edited("anew", "", func(log string) string { return log })
		}, []string{"does not go on from the head"}},
		// IDs are public in the ledger: a known ID does not prove that certroll wrote
		// the line.
		"made anew with all ids": {func(l *pastLedger, _ string) {
			l.edited("anew", "", func(log string) string { return strings.ReplaceAll(log, `"b.example.com"`, `"x.example.com"`) })
		}, []string{"does not go on from the head", "another line"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMooredWorld(t)
			m.must(m.issue("a"))
			first := m.ledger.head
			m.must(m.issue("b"))
			was := maps.Clone(m.anchor.Fields)
			c.rewind(m.ledger, first)

			// While Git is down, work continues and the checkpoint stays.
			m.ledger.Err = errors.New("no route")
			m.Desired.Certificates = append(m.Desired.Certificates, reconciletest.Certificate("c", "c.example.com"))
			r := apply.New(&observe.Observer{Metadata: m.Vault, StateMount: "secret", StatePrefix: "certroll"}, m.Vault, m.Ca, m.ledger, m.Journal, m.Opts)
			m.ledger.Err = nil
			obs, err := r.Observe(context.Background(), m.Desired)
			m.must(err)
			m.ledger.Err = errors.New("no route")
			if _, err := r.Apply(context.Background(), m.Desired, ledger.Revision{}, plan.New(m.Desired, obs, m.At)); err == nil {
				t.Fatal("the ledger was written though Git was away")
			}
			if v := m.Vault.Secrets["secret/tls/c"]; v == nil || len(v.Versions) != 1 {
				t.Error("nothing was issued")
			}
			if !maps.Equal(m.anchor.Fields, was) {
				t.Errorf("the anchor moved to %v before the ledger tells of the rewind", m.anchor.Fields)
			}
			if len(m.reports) != len(c.reports) {
				t.Errorf("told are %+v, want %q", m.reports, c.reports)
			}
			for i, words := range c.reports {
				if i < len(m.reports) && !strings.Contains(m.reports[i].Problem, words) {
					t.Errorf("told is %q, want %q", m.reports[i].Problem, words)
				}
			}

			m.ledger.Err = nil
			m.must(m.run())
			m.must(m.run())
			e := m.rewinds()
			if len(e) != 1 || e[0].Severity != ledger.SeverityPage || e[0].Status != ledger.Failed || !strings.Contains(e[0].Message, c.reports[0]) {
				t.Errorf("the events are %+v", e)
			}
			m.anchoredAt(m.ledger.head)
			if len(m.reports) != len(c.reports) {
				t.Errorf("it is told again: %+v", m.reports)
			}
		})
	}
}

// TestAnchorOfTwoReplicas checks that the second of two replicas reads the checkpoint
// again, and that the later position stays.
func TestAnchorOfTwoReplicas(t *testing.T) {
	m := newMooredWorld(t)
	m.must(m.issue("a"))
	m.anchor.OnStore = func() {
		// Another replica pushes and moves the checkpoint while this one is about to.
		line := `{"schema":1,"id":"other","operation":"note","status":"success","prev":"` + m.anchor.Fields["hash"] + `"}` + "\n"
		m.ledger.edited("others", m.ledger.head, func(log string) string { return log + line })
		now, err := (&audit.Surveyor{}).Mark(m.ledger.Tree, "others")
		m.must(err)
		now.Nonce = "theirs"
		m.anchor.Fields, m.anchor.Version = now.Fields(), m.anchor.Version+1
	}
	m.must(m.issue("b"))
	if m.anchor.Fields["nonce"] != "theirs" {
		t.Errorf("the later anchor was replaced by %v", m.anchor.Fields)
	}
	m.anchoredAt("others")
	if len(m.rewinds())+len(m.reports) != 0 {
		t.Errorf("a rewind is told of: %+v", m.reports)
	}
}

// TestAnchorUnreadable checks that a problem with the checkpoint is reported and delays
// nothing.
func TestAnchorUnreadable(t *testing.T) {
	for name, spoil := range map[string]func(a *reconciletest.MemAnchor){
		"no permission": func(a *reconciletest.MemAnchor) { a.LoadErr = errors.New("permission denied") },
		"garbage":       func(a *reconciletest.MemAnchor) { a.Fields["events"] = "many" },
		"lost fields":   func(a *reconciletest.MemAnchor) { delete(a.Fields, "head") },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMooredWorld(t)
			m.must(m.issue("a"))
			spoil(m.anchor)
			was := maps.Clone(m.anchor.Fields)
			if err := m.issue("b"); err == nil {
				t.Error("nothing is said")
			}
			if n := len(m.ledger.Events(t)); n != 2 || len(m.reports) != 0 || !maps.Equal(m.anchor.Fields, was) {
				t.Errorf("%d events, told %+v, anchor %v", n, m.reports, m.anchor.Fields)
			}
		})
	}
}

func TestHeadline(t *testing.T) {
	event := func(operation ledger.Kind, certificate string, status ledger.Status) ledger.Entry {
		return ledger.Entry{Event: ledger.Event{Operation: operation, Certificate: certificate, Status: status, Reason: "why"}}
	}
	many := []ledger.Entry{}
	for _, k := range []ledger.Kind{ledger.KindIssue, ledger.KindRenew, ledger.KindRotate, ledger.KindReissue, ledger.KindAdopt} {
		many = append(many, event(k, "x", ledger.Success), event(k, "y", ledger.Failed))
	}
	long := strings.Repeat("long-", 20)
	for want, entries := range map[string][]ledger.Entry{
		"issue api: success":                    {event(ledger.KindIssue, "api", ledger.Success)},
		"doctor: failure":                       {event("doctor", "", ledger.Failed)},
		"renew b, c: failure; issue a: success": {event(ledger.KindIssue, "a", ledger.Success), event(ledger.KindRenew, "b", ledger.Failed), event(ledger.KindRenew, "c", ledger.Failed)},
		"1 issue success, 2 renew failure":      {event(ledger.KindIssue, "a-name-that-is-long", ledger.Success), event(ledger.KindRenew, "b-name-that-is-long", ledger.Failed), event(ledger.KindRenew, "c", ledger.Failed)},
		"5 failure, 5 success":                  many,
		"renew " + long[:54] + "...: failure":   {event(ledger.KindRenew, long, ledger.Failed)},
	} {
		message := statuspage.CommitMessage(entries)
		subject, body, _ := strings.Cut(message, "\n")
		if subject != want || len(subject) > statuspage.MaxHeadline || !strings.HasPrefix(body, "\nOperation: ") {
			t.Errorf("got %q (%d characters), want %q", message, len(subject), want)
		}
	}
}
