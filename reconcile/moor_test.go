package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"certroll/reconcile/apply"
	"certroll/reconcile/archive"
	"certroll/reconcile/audit"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/reconcile/statuspage"
)

// memAnchor is Vault's secret in memory. onStore runs before a write, once.
type memAnchor struct {
	mu      sync.Mutex
	fields  map[string]string
	version int
	loadErr error
	onStore func()
	stores  int
}

func (a *memAnchor) Load(context.Context) (map[string]string, int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.fields), a.version, a.loadErr
}

func (a *memAnchor) Store(_ context.Context, fields map[string]string, version int) error {
	if do := a.onStore; do != nil {
		a.onStore = nil
		do()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if version != a.version {
		return conflictError{errors.New("check-and-set parameter did not match the current version")}
	}
	a.fields, a.version = maps.Clone(fields), version+1
	a.stores++
	return nil
}

// pastLedger is a memLedger whose branch can be moved.
type pastLedger struct {
	*memLedger
	head   string
	parent map[string]string
	trees  map[string]fstest.MapFS
}

func newPastLedger() *pastLedger {
	return &pastLedger{memLedger: newMemLedger(), parent: map[string]string{}, trees: map[string]fstest.MapFS{"": {}}}
}

func (l *pastLedger) Snapshot(ctx context.Context) (fs.FS, string, error) {
	tree, _, err := l.memLedger.Snapshot(ctx)
	return tree, l.head, err
}

func (l *pastLedger) Commit(ctx context.Context, message string, edit func(fs.FS) (map[string][]byte, error)) (string, error) {
	commit, err := l.memLedger.Commit(ctx, message, edit)
	if commit != "" {
		l.moveTo(l.record(commit, l.head))
	}
	return commit, err
}

func (l *pastLedger) record(commit, parent string) string {
	l.parent[commit], l.trees[commit] = parent, maps.Clone(l.tree)
	return commit
}

func (l *pastLedger) moveTo(commit string) { l.head, l.tree = commit, maps.Clone(l.trees[commit]) }

func (l *pastLedger) Descends(_ context.Context, commit string) (bool, error) {
	for at := l.head; at != ""; at = l.parent[at] {
		if at == commit {
			return true, nil
		}
	}
	return false, nil
}

// edited commits by a stranger's hand.
func (l *pastLedger) edited(commit, parent string, edit func(log string) string) {
	name := archive.AuditFile(start)
	l.tree[name] = &fstest.MapFile{Data: []byte(edit(string(l.tree[name].Data)))}
	l.moveTo(l.record(commit, parent))
}

// moored is a world whose ledger has an anchor.
type mooredWorld struct {
	*world
	ledger *pastLedger
	anchor *memAnchor
	told   []archive.Breach
}

func newMooredWorld(t *testing.T) *mooredWorld {
	m := &mooredWorld{world: newWorld(t), ledger: newPastLedger(), anchor: &memAnchor{}}
	m.world.ledger = m.ledger.memLedger
	m.opts.Anchor = m.anchor
	m.opts.Rewound = func(f archive.Breach) { m.told = append(m.told, f) }
	return m
}

// issue adds a certificate to the spec and lets a new process apply.
func (m *mooredWorld) issue(name string) error {
	m.t.Helper()
	m.desired.Certificates = append(m.desired.Certificates, certificate(name, name+".example.com"))
	return m.run()
}

func (m *mooredWorld) run() error {
	m.t.Helper()
	r := apply.New(&observe.Observer{Metadata: m.vault, StateMount: "secret", StatePrefix: "certroll"}, m.vault, m.ca, m.ledger, m.journal, m.opts)
	obs, err := r.Observe(context.Background(), m.desired)
	if err != nil {
		m.t.Fatal(err)
	}
	_, err = r.Apply(context.Background(), m.desired, ledger.Revision{Commit: "c0ffee"}, plan.Plan(m.desired, obs, m.at))
	return errors.Join(err, r.Unanchored())
}

func (m *mooredWorld) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// rewinds are the events that tell of one.
func (m *mooredWorld) rewinds() []ledger.Event {
	m.t.Helper()
	return slices.DeleteFunc(m.ledger.events(m.t), func(e ledger.Event) bool { return e.Reason != ledger.ReasonRewound })
}

// anchoredAt demands that the anchor is at the ledger's end.
func (m *mooredWorld) anchoredAt(head string) {
	m.t.Helper()
	events := fmt.Sprint(len(m.ledger.events(m.t)))
	if f := m.anchor.fields; f["head"] != head || f["events"] != events || f["line"] != events || f["file"] != archive.AuditFile(m.at) {
		m.t.Errorf("the anchor is at %v; the head is %s, with %s events", m.anchor.fields, head, events)
	}
}

func TestAnchorFollowsThePushes(t *testing.T) {
	m := newMooredWorld(t)
	m.must(m.run())
	if m.anchor.stores != 0 {
		t.Error("an empty ledger is anchored")
	}
	m.must(m.issue("a"))
	m.anchoredAt(m.ledger.head)
	m.must(m.issue("b"))
	m.anchoredAt(m.ledger.head)
	stores := m.anchor.stores
	m.must(m.run())
	if m.anchor.stores != stores {
		t.Error("it is written though nothing was pushed")
	}
	// In the next month the count goes on.
	m.at = m.at.AddDate(0, 1, 0)
	m.desired.Certificates = nil
	m.must(m.issue("c"))
	all := m.ledger.events(t)
	if f := m.anchor.fields; f["events"] != fmt.Sprint(len(all)) || f["file"] != archive.AuditFile(m.at) || f["line"] == f["events"] {
		t.Errorf("the anchor is at %v, there are %d events", f, len(all))
	}
	if len(m.rewinds())+len(m.told) != 0 {
		t.Errorf("a rewind is told of: %+v", m.told)
	}
}

// TestAnchorLags: a crash between the push and the anchor, and a push by
// somebody who has no Vault, are no rewind.
func TestAnchorLags(t *testing.T) {
	m := newMooredWorld(t)
	m.must(m.issue("a"))
	before, version := maps.Clone(m.anchor.fields), m.anchor.version
	m.must(m.issue("b"))
	m.anchor.fields, m.anchor.version = before, version
	m.must(m.run())
	m.anchoredAt(m.ledger.head)
	if len(m.rewinds())+len(m.told) != 0 {
		t.Errorf("a rewind is told of: %+v", m.told)
	}
}

func TestRewindIsTold(t *testing.T) {
	drop := func(log string) string {
		return strings.Join(strings.SplitAfter(log, "\n")[:1], "")
	}
	for name, c := range map[string]struct {
		rewind func(l *pastLedger, first string)
		told   []string
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
		// Ids can be read in the ledger: one that was is no word of ours.
		"made anew with all ids": {func(l *pastLedger, _ string) {
			l.edited("anew", "", func(log string) string { return strings.ReplaceAll(log, `"b.example.com"`, `"x.example.com"`) })
		}, []string{"does not go on from the head", "another line"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMooredWorld(t)
			m.must(m.issue("a"))
			first := m.ledger.head
			m.must(m.issue("b"))
			was := maps.Clone(m.anchor.fields)
			c.rewind(m.ledger, first)

			// While Git is away the work goes on, and the anchor stays.
			m.ledger.err = errors.New("no route")
			m.desired.Certificates = append(m.desired.Certificates, certificate("c", "c.example.com"))
			r := apply.New(&observe.Observer{Metadata: m.vault, StateMount: "secret", StatePrefix: "certroll"}, m.vault, m.ca, m.ledger, m.journal, m.opts)
			m.ledger.err = nil
			obs, err := r.Observe(context.Background(), m.desired)
			m.must(err)
			m.ledger.err = errors.New("no route")
			if _, err := r.Apply(context.Background(), m.desired, ledger.Revision{}, plan.Plan(m.desired, obs, m.at)); err == nil {
				t.Fatal("the ledger was written though Git was away")
			}
			if v := m.vault.secrets["secret/tls/c"]; v == nil || len(v.versions) != 1 {
				t.Error("nothing was issued")
			}
			if !maps.Equal(m.anchor.fields, was) {
				t.Errorf("the anchor moved to %v before the ledger tells of the rewind", m.anchor.fields)
			}
			if len(m.told) != len(c.told) {
				t.Errorf("told are %+v, want %q", m.told, c.told)
			}
			for i, words := range c.told {
				if i < len(m.told) && !strings.Contains(m.told[i].Problem, words) {
					t.Errorf("told is %q, want %q", m.told[i].Problem, words)
				}
			}

			m.ledger.err = nil
			m.must(m.run())
			m.must(m.run())
			e := m.rewinds()
			if len(e) != 1 || e[0].Severity != ledger.SeverityPage || e[0].Status != ledger.Failed || !strings.Contains(e[0].Message, c.told[0]) {
				t.Errorf("the events are %+v", e)
			}
			m.anchoredAt(m.ledger.head)
			if len(m.told) != len(c.told) {
				t.Errorf("it is told again: %+v", m.told)
			}
		})
	}
}

// TestAnchorOfTwoReplicas: whoever comes second looks again, and the later
// place stays.
func TestAnchorOfTwoReplicas(t *testing.T) {
	m := newMooredWorld(t)
	m.must(m.issue("a"))
	m.anchor.onStore = func() {
		// Another replica pushes and anchors while this one is about to.
		line := `{"schema":1,"id":"other","operation":"note","status":"success","prev":"` + m.anchor.fields["hash"] + `"}` + "\n"
		m.ledger.edited("others", m.ledger.head, func(log string) string { return log + line })
		now, err := (&audit.Surveyor{}).Mark(m.ledger.tree, "others")
		m.must(err)
		now.Nonce = "theirs"
		m.anchor.fields, m.anchor.version = now.Fields(), m.anchor.version+1
	}
	m.must(m.issue("b"))
	if m.anchor.fields["nonce"] != "theirs" {
		t.Errorf("the later anchor was replaced by %v", m.anchor.fields)
	}
	m.anchoredAt("others")
	if len(m.rewinds())+len(m.told) != 0 {
		t.Errorf("a rewind is told of: %+v", m.told)
	}
}

// TestAnchorUnreadable: what is wrong with the anchor is said and holds
// nothing up.
func TestAnchorUnreadable(t *testing.T) {
	for name, spoil := range map[string]func(a *memAnchor){
		"no permission": func(a *memAnchor) { a.loadErr = errors.New("permission denied") },
		"garbage":       func(a *memAnchor) { a.fields["events"] = "many" },
		"lost fields":   func(a *memAnchor) { delete(a.fields, "head") },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMooredWorld(t)
			m.must(m.issue("a"))
			spoil(m.anchor)
			was := maps.Clone(m.anchor.fields)
			if err := m.issue("b"); err == nil {
				t.Error("nothing is said")
			}
			if n := len(m.ledger.events(t)); n != 2 || len(m.told) != 0 || !maps.Equal(m.anchor.fields, was) {
				t.Errorf("%d events, told %+v, anchor %v", n, m.told, m.anchor.fields)
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
