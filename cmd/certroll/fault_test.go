package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/reconcile"
)

// Where Pebble has its resources.
const (
	newOrder     = "/order-plz"
	newAccount   = "/sign-me-up"
	finalization = "/finalize-order/"
	validation   = "/chalZ/"
	permission   = "/authZ/"
)

// fault may answer a request in the CA's place; false lets the CA answer.
type fault func(rw http.ResponseWriter, req *http.Request) bool

// front stands between certroll and a CA. It notes what comes by and goes
// wrong in the ways it is told.
type front struct {
	t    testing.TB
	addr string
	ca   http.Handler

	mu     sync.Mutex
	server *httptest.Server
	fault  fault
	edit   func(*http.Response) error
	asked  []asked
	made   int // orders that the CA made
	// refused counts what the CA called a bad request, a nonce for one.
	refused int
}

// asked is a request that came by.
type asked struct {
	path string
	at   time.Time
}

func newFront(t testing.TB, ca *lab.Pebble) *front {
	t.Helper()
	f := &front{t: t}
	f.ca = reverse(t, strings.TrimSuffix(ca.Directory, "/dir"), ca.CABundle, f.answered)
	f.server = httptest.NewUnstartedServer(f)
	f.server.StartTLS()
	f.addr = f.server.Listener.Addr().String()
	t.Cleanup(f.close)
	return f
}

// ServeHTTP is http.Handler's.
func (f *front) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	f.mu.Lock()
	f.asked = append(f.asked, asked{req.URL.Path, time.Now()})
	wrong := f.fault
	f.mu.Unlock()
	if wrong == nil || !wrong(rw, req) {
		f.ca.ServeHTTP(rw, req)
	}
}

// answered sees what the CA answers.
func (f *front) answered(resp *http.Response) error {
	f.mu.Lock()
	if madeOrder(resp) {
		f.made++
	}
	if resp.StatusCode == http.StatusBadRequest {
		f.refused++
	}
	edit := f.edit
	f.mu.Unlock()
	if edit == nil {
		return nil
	}
	return edit(resp)
}

// breaks lets the CA fail from now on.
func (f *front) breaks(wrong fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = wrong
}

// edits changes the CA's answers from now on.
func (f *front) edits(edit func(*http.Response) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.edit = edit
}

func (f *front) mend() {
	f.breaks(nil)
	f.edits(nil)
}

func (f *front) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.server != nil {
		f.server.CloseClientConnections()
		f.server.Close()
		f.server = nil
	}
}

// reopen listens at the same address again.
func (f *front) reopen() {
	f.t.Helper()
	s := httptest.NewUnstartedServer(f)
	_ = s.Listener.Close()
	var err error
	for range 100 {
		if s.Listener, err = net.Listen("tcp", f.addr); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond) // somebody may have the port for a moment
	}
	if err != nil {
		f.t.Fatal(err)
	}
	s.StartTLS()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.server = s
}

// times are when a resource was asked for.
func (f *front) times(path string) []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	var times []time.Time
	for _, a := range f.asked {
		if strings.HasPrefix(a.path, path) {
			times = append(times, a.at)
		}
	}
	return times
}

func (f *front) count(path string) int { return len(f.times(path)) }

// answers are how many orders the CA made, and what it refused.
func (f *front) answers() (made, refused int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.made, f.refused
}

// orders demands that the CA was asked for so many orders and made so many.
func (f *front) orders(askedFor, made int) {
	f.t.Helper()
	got, _ := f.answers()
	if n := f.count(newOrder); n != askedFor || got != made {
		f.t.Errorf("the CA was asked for %d orders and made %d, want %d and %d", n, got, askedFor, made)
	}
}

// at goes wrong for requests to one resource.
func at(path string, answer http.HandlerFunc) fault {
	return func(rw http.ResponseWriter, req *http.Request) bool {
		if !strings.HasPrefix(req.URL.Path, path) {
			return false
		}
		answer(rw, req)
		return true
	}
}

// before does something once, before the first request to a resource passes.
func before(path string, do func()) fault {
	var once sync.Once
	return func(_ http.ResponseWriter, req *http.Request) bool {
		if strings.HasPrefix(req.URL.Path, path) {
			once.Do(do)
		}
		return false
	}
}

// problem answers with a problem document (RFC 7807) of an ACME type.
func problem(status int, kind, detail string, header ...string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			rw.Header().Set(header[i], header[i+1])
		}
		rw.Header().Set("Content-Type", "application/problem+json")
		rw.WriteHeader(status)
		_ = json.NewEncoder(rw).Encode(map[string]any{"type": "urn:ietf:params:acme:error:" + kind, "detail": detail, "status": status})
	}
}

// editJSON changes the JSON object in an answer.
func editJSON(resp *http.Response, edit func(map[string]any)) error {
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	object := map[string]any{}
	if err := json.Unmarshal(body, &object); err != nil {
		return err
	}
	edit(object)
	if body, err = json.Marshal(object); err != nil {
		return err
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp.Header.Set("Content-Length", fmt.Sprint(len(body)))
	return nil
}

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// faulty is a world of its own on the same servers, with a front before the
// CA. Its lease and state are its own too, so that tests run side by side.
func (w world) faulty(t *testing.T, files map[string]string) (*world, *front) {
	t.Helper()
	f := newFront(t, w.pebble)
	w.directory, w.caBundle = "https://"+f.addr+"/dir", pemOf(f.server.Certificate())
	w.prefix = "certroll-" + notInName.ReplaceAllString(strings.ToLower(t.Name()), "-")
	w.env = append(slices.Clone(w.env), patienceVariable+"=50ms 100ms")
	fresh := w.fresh(t, files)
	fresh.settings("")
	return fresh, f
}

// declare is a file that declares certificates, each for the name in lab.test
// that it is called by.
func declare(more string, names ...string) map[string]string {
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "certificate %q {\n  domains = [\"%s.lab.test\"]\n  issuer  = issuer.pebble\n  dns     = dns.lab\n  %s\n}\n", name, name, more)
	}
	return map[string]string{"certs.hcl": b.String()}
}

// issued is a world with one live certificate that is due now by a request to
// rotate it: what fails from here on is a renewal.
func (w world) issued(t *testing.T, name string) (*world, *front) {
	t.Helper()
	fresh, f := w.faulty(t, declare("", name))
	fresh.certroll(0, "apply", "-auto-approve")
	fresh.push(declare(`rotate = "now"`, name), "Rotate it")
	return fresh, f
}

var ttl = regexp.MustCompile(`RFC2136_TTL\s+= "(\d+)"`)

// nudge changes the TTL of the DNS account's records between 1 and 2: nothing
// that makes a difference, but another spec, which ends the certificates' holds.
func (w *world) nudge() {
	w.t.Helper()
	w.editSettings(func(text string) string {
		other := map[string]string{"1": "2", "2": "1"}[ttl.FindStringSubmatch(text)[1]]
		return ttl.ReplaceAllString(text, `RFC2136_TTL = "`+other+`"`)
	})
}

func (w *world) editSettings(edit func(string) string) {
	w.t.Helper()
	file := filepath.Join(w.dir, defaultSettings)
	b, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(edit(string(b))), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// audit is the whole audit log of this month.
func (w *world) audit() []reconcile.Event {
	w.t.Helper()
	var events []reconcile.Event
	for line := range strings.Lines(w.ledgerFile(time.Now().UTC().Format("audit/2006/01.jsonl"))) {
		var e reconcile.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			w.t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

// story are the events of the attempts to make a certificate. What a daemon's
// daily examination finds is not among them.
func (w *world) story(name string) []reconcile.Event {
	w.t.Helper()
	var events []reconcile.Event
	for _, e := range w.audit() {
		if e.Certificate == name && e.Operation.Orders() {
			events = append(events, e)
		}
	}
	return events
}

// tells demands how the attempts to make a certificate ended, in order.
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

func (w *world) record(name string) *reconcile.Record {
	w.t.Helper()
	r, err := reconcile.UnmarshalRecord([]byte(w.ledgerFile("certificates/" + name + ".json")))
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// failed demands that the last that happened to a certificate is a failure of
// this class in these words, that event, record and STATUS.md agree on it, and
// that what is live is what was live.
func (w *world) failed(name string, class reconcile.Class, words string, failures int) reconcile.Event {
	w.t.Helper()
	story := w.story(name)
	if len(story) == 0 {
		w.t.Fatalf("nothing is told of %s", name)
	}
	e := story[len(story)-1]
	if e.Status != reconcile.Failed || e.Class != class || !strings.Contains(e.Message, words) || e.Failures != failures || e.HoldUntil == nil {
		w.t.Fatalf("the last event is %+v, want failure %d of class %s with the words %q and the end of a hold", e, failures, class, words)
	}
	r := w.record(name)
	if r.State != reconcile.StateFailing || r.Failures != failures || r.LastFailure == nil || r.LastFailure.Class != class || r.LastFailure.Message != e.Message {
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

// waits demands that the hold of a failure ends about so long after it.
func (w *world) waits(e reconcile.Event, least, most time.Duration) {
	w.t.Helper()
	if wait := e.HoldUntil.Sub(e.Time); wait < least-time.Second || wait > most+time.Second {
		w.t.Errorf("%s waits %s after its failure %d (%s), want %s to %s", e.Certificate, wait, e.Failures, e.Class, least, most)
	}
}

// stays demands that a certificate's secret and record speak of the same
// version and serial as before.
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

// quiet runs what may not ask the CA for anything.
func (w *world) quiet(f *front, why string) string {
	w.t.Helper()
	asked := f.count("/")
	out := w.certroll(0, "apply", "-auto-approve")
	if n := f.count("/") - asked; n > 0 {
		w.t.Errorf("%s: the CA was asked %d times:\n%s", why, n, out)
	}
	return out
}
