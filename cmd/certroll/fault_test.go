package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"certroll/cmd/certroll/settings"
	"certroll/reconcile/ledger"
)

// sideBySide runs tests concurrently on the same servers.
func sideBySide(t *testing.T, tests map[string]func(*testing.T, *world)) {
	t.Parallel()
	l := newLab(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, l)
		})
	}
}

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// faulty returns a new world on the same servers, with a front for the CA. It has its own lease and state, so tests can
// run concurrently.
func (w world) faulty(t *testing.T, files map[string]string) (*world, *front) {
	t.Helper()
	f := newFront(t, w.pebble)
	w.directory, w.caBundle = "https://"+f.addr+"/dir", pemOf(f.server.Certificate())
	w.prefix = "certroll-" + notInName.ReplaceAllString(strings.ToLower(t.Name()), "-")
	w.env = slices.Clone(w.env)
	fresh := w.fresh(t, files)
	fresh.settings("")
	return fresh, f
}

// declare returns a file that declares certificates; each has the name below lab.test.
func declare(more string, names ...string) map[string]string {
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "certificate %q {\n  domains = [\"%s.lab.test\"]\n  issuer  = issuer.pebble\n  dns     = dns.lab\n  %s\n}\n", name, name, more)
	}
	return map[string]string{"certs.hcl": b.String()}
}

// issued returns a world with one live certificate and a pending request to rotate it, so that what fails next is a
// renewal.
func (w world) issued(t *testing.T, name string) (*world, *front) {
	t.Helper()
	fresh, f := w.faulty(t, declare("", name))
	fresh.certroll(0, "apply", "-auto-approve")
	fresh.push(declare(`rotate = "now"`, name), "Rotate it")
	return fresh, f
}

var ttl = regexp.MustCompile(`RFC2136_TTL\s+= "(\d+)"`)

// nudge adds a second to the TTL of the DNS account's records. The effect is negligible, but the spec changes, which
// ends the certificates' holds.
func (w *world) nudge() {
	w.t.Helper()
	w.editSettings(func(text string) string {
		seconds, err := strconv.Atoi(ttl.FindStringSubmatch(text)[1])
		if err != nil {
			w.t.Fatal(err)
		}
		return ttl.ReplaceAllString(text, fmt.Sprintf(`RFC2136_TTL = "%d"`, seconds+1))
	})
}

func (w *world) editSettings(edit func(string) string) {
	w.t.Helper()
	file := filepath.Join(w.dir, settings.DefaultFile)
	b, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(edit(string(b))), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// audit returns this month's audit log.
func (w *world) audit() []ledger.Event {
	w.t.Helper()
	var events []ledger.Event
	for line := range strings.Lines(w.ledgerFile(time.Now().UTC().Format("audit/2006/01.jsonl"))) {
		var e ledger.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			w.t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

// story returns the events of the attempts for a certificate, without the findings of a daemon's daily examination.
func (w *world) story(name string) []ledger.Event {
	w.t.Helper()
	var events []ledger.Event
	for _, e := range w.audit() {
		if e.Certificate == name && e.Operation.Orders() {
			events = append(events, e)
		}
	}
	return events
}

// tells requires the given results of the attempts for a certificate, in order.
func (w *world) tells(name, want string) {
	w.t.Helper()
	var list []string
	for _, e := range w.story(name) {
		list = append(list, string(e.Operation)+" "+string(e.Status))
	}
	if got := strings.Join(list, ", "); got != want {
		w.t.Errorf("the audit log says of %s: %s; want %s", name, got, want)
	}
}

func (w *world) record(name string) *ledger.Record {
	w.t.Helper()
	r, err := ledger.UnmarshalRecord([]byte(w.ledgerFile("certificates/" + name + ".json")))
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// failed requires that the last event of a certificate is a failure of this class with these words, that event, record
// and STATUS.md agree, and that the live certificate is unchanged.
func (w *world) failed(name string, class ledger.Class, words string, failures int) ledger.Event {
	w.t.Helper()
	story := w.story(name)
	if len(story) == 0 {
		w.t.Fatalf("nothing is told of %s", name)
	}
	e := story[len(story)-1]
	if e.Status != ledger.Failed || e.Class != class || !strings.Contains(e.Message, words) || e.Failures != failures || e.HoldUntil == nil {
		w.t.Fatalf("the last event is %+v, want failure %d of class %s with the words %q and the end of a hold", e, failures, class, words)
	}
	r := w.record(name)
	if r.State != ledger.StateFailing || r.Failures != failures || r.LastFailure == nil || r.LastFailure.Class != class || r.LastFailure.Message != e.Message {
		w.t.Errorf("the record is %+v, its last failure %+v; the event %+v", r, r.LastFailure, e)
	}
	if r.Hold == nil || !r.Hold.Until.Equal(*e.HoldUntil) || r.Hold.Class != class {
		w.t.Errorf("the record's hold is %+v, the event's ends %s", r.Hold, e.HoldUntil)
	}
	if status := w.ledgerFile("STATUS.md"); !strings.Contains(status, string(class)) {
		w.t.Errorf("STATUS.md does not tell of %s:\n%s", class, status)
	}
	return e
}

// waits requires that the hold after a failure ends within the given time span.
func (w *world) waits(e ledger.Event, least, most time.Duration) {
	w.t.Helper()
	if wait := e.HoldUntil.Sub(e.Time); wait < least-time.Second || wait > most+time.Second {
		w.t.Errorf("%s waits %s after its failure %d (%s), want %s to %s", e.Certificate, wait, e.Failures, e.Class, least, most)
	}
}

// stays requires that a certificate's secret and record still have the same version and serial.
func (w *world) stays(name string, version int, serial string) {
	w.t.Helper()
	m := w.metadata("tls/" + name)
	if m.Data.CurrentVersion != version || m.Data.Custom["serial"] != serial {
		w.t.Errorf("%s is at version %d with the serial %s, want %d and %s still", name, m.Data.CurrentVersion, m.Data.Custom["serial"], version, serial)
	}
	w.checkPair("tls/"+name, name+".lab.test")
	if l := w.record(name).Live; l == nil || l.Serial != serial || l.Version != version {
		w.t.Errorf("the record says that %+v is live, want version %d with the serial %s", l, version, serial)
	}
}

func (w *world) serial(name string) string {
	w.t.Helper()
	return w.metadata("tls/" + name).Data.Custom["serial"]
}

// quiet runs an apply that must send no request to the CA.
func (w *world) quiet(f *front, why string) string {
	w.t.Helper()
	asked := f.count("/")
	out := w.certroll(0, "apply", "-auto-approve")
	if n := f.count("/") - asked; n > 0 {
		w.t.Errorf("%s: the CA was asked %d times:\n%s", why, n, out)
	}
	return out
}
