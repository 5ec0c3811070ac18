package page

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
)

func queryOf(t *testing.T, f Filter) url.Values {
	t.Helper()
	v, err := url.ParseQuery(strings.TrimPrefix(f.Query(), "?"))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// serving returns a server at noon with the events of certificate api in its ledger.
func serving(t *testing.T, in Input) (*Server, *shelf) {
	t.Helper()
	ledger := &shelf{tree: story(t, "api", in.Problems...), head: in.Ledger}
	s := NewServer(t.Context(), ledger, func() time.Time { return noon })
	s.Passed(in)
	return s, ledger
}

func get(s http.Handler, address string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, address, nil))
	return w
}

// TestHeaders: every response, including errors, has the security headers, and no page has inline script or style.
func TestHeaders(t *testing.T) {
	s, _ := serving(t, ten())
	for address, status := range map[string]int{
		"/": 200, "/?q=api&state=paging": 200, "/?page=x&sort=y&state=z": 200, "/certificates/api": 200, "/certificates/search": 200,
		"/certificates/none": 404, "/status.json": 200, "/page.css": 200, "/page.js": 200, "/icon.svg": 200, "/nowhere": 404, "/certificates/": 404, "/page.html": 404,
	} {
		w := get(s, address)
		if w.Code != status {
			t.Errorf("%s: status %d, want %d: %s", address, w.Code, status, w.Body)
		}
		if got := w.Header().Get("Content-Security-Policy"); got != policy {
			t.Errorf("%s: policy %q", address, got)
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Cache-Control") == "" {
			t.Errorf("%s: headers %v", address, w.Header())
		}
		if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			continue
		}
		body := w.Body.String()
		for _, inline := range []string{" style=", "<style", " onclick=", " onload=", "javascript:", "<script>"} {
			if strings.Contains(body, inline) {
				t.Errorf("%s has %q in it", address, inline)
			}
		}
		if n := strings.Count(body, "<script "); n != 1 {
			t.Errorf("%s has %d scripts", address, n)
		}
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", w.Code)
	}
}

// TestUpstreamWords: text from upstreams and any other source outside certroll is always shown as text.
func TestUpstreamWords(t *testing.T) {
	in := ten()
	api := in.Records[0]
	api.LastFailure.Message, api.Hold.Reason, api.Hold.Class = hostile, hostile, ledger.ClassCAA
	api.Labels = map[string]string{"team": `"><img src=x onerror=alert(1)>`, "a": "b,c"}
	api.File = `certs/"<b>.hcl`
	for _, word := range []*string{&api.Live.Serial, &api.Live.KeyDigest, &api.Live.Revision, &api.Live.Issuer, &in.Ledger} {
		*word += "\u202e"
	}
	api.LastFailure.Class += "\u202e"
	api.Live.DNSAccount, api.Live.Directory = hostile, "javascript:alert(1)"
	in.Actions[0].Detail = hostile
	in.Problems[0].Message, in.Problems[0].Advice = hostile, hostile
	in.Revision.Author = hostile
	in.Pass.Error = hostile
	in.Newest = &NotTaken{Commit: "<script>", Author: hostile, Reason: ledger.ReasonRefused, Message: hostile}
	in.Tripped = []plan.Tripped{{Subject: "issuer.<script>", Message: hostile}}
	in.Faults = []string{hostile}
	s, ledger := serving(t, in)
	ledger.tree.(fstest.MapFS)["audit/2026/11.jsonl"] = &fstest.MapFile{Data: []byte(`{"schema":1,"id":"x","certificate":"api","time":"2026-11-25T10:00:00Z","operation":"renew","status":"failure",` +
		`"class":"caa` + "\u202e" + `","old_serial":"` + "\u202e" + `","actor":"<script>alert(1)</script>","message":"<script>alert(2)</script>` + "\u202e\u0007" + `"}` + "\n")}
	for _, address := range []string{"/", "/certificates/api", "/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&label=%22%3E%3Cscript%3E", "/certificates/%3Cscript%3Ealert(1)%3C%2Fscript%3E"} {
		body := get(s, address).Body.String()
		if strings.Contains(body, "<script>") || strings.Contains(body, "<img") || strings.Contains(body, `href="javascript`) {
			t.Errorf("%s: what came from outside is markup:\n%s", address, body)
		}
		if strings.ContainsAny(body, "\u202e\u0007") {
			t.Errorf("%s: what cannot be seen is in it", address)
		}
		if !strings.Contains(body, "&lt;script&gt;") {
			t.Errorf("%s does not say what was said:\n%s", address, body)
		}
	}
}

// TestCertificate: a certificate's page shows its record and its events.
func TestCertificate(t *testing.T) {
	in := ten()
	since := noon.Add(-5 * day24)
	live := in.Records[0].Live
	live.NextKeyDigest, live.NextKeyShape, live.NextKeySince = strings.Repeat("5e", 32), "ecdsa-P-256", &since
	in.Records[0].Probe = []string{"api.example.com:443", "api.example.com:8443"}
	s, tree := serving(t, in)
	problems, err := json.Marshal(ledger.Problems{Schema: 1, Problems: []ledger.Problem{{Operation: ledger.KindProbe, Since: since, Finding: ledger.Finding{
		Class: ledger.ClassStale, About: "api.example.com:443", Message: "serves serial 06", Certificates: []string{"api"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	tree.tree.(fstest.MapFS)["doctor.json"] = &fstest.MapFile{Data: problems}
	body := get(s, "/certificates/api").Body.String()
	for _, part := range []string{
		"4 attempts in a row failed", prevented, "2026-11-25 19:00:00 UTC", "in use for 78 d", "secret/tls/api", "cloudflare_prod", "3 1 1 " + live.KeyDigest, "3 1 1 " + live.NextKeyDigest,
		"serves serial 06", "no problem is known", "03a1b2c3d4e5f60718293a4b5c6d7e8f9012", "A. Person &lt;person@example.com&gt;", "All events of the audit log",
	} {
		if !strings.Contains(body, part) {
			t.Errorf("it does not say %q:\n%s", part, body)
		}
	}
	if newest, oldest := strings.Index(body, "2026-11-24T19:00:00Z"), strings.Index(body, "2026-06-10T12:00:00Z"); newest < 0 || oldest < newest {
		t.Errorf("the newest event is at %d, the oldest at %d", newest, oldest)
	}
}

// TestOneMessageOnce: a message appears once on a page, and a table row shows its last part.
func TestOneMessageOnce(t *testing.T) {
	in := ten()
	in.Tripped = []plan.Tripped{{Subject: "dns.cloudflare_prod", Class: ledger.ClassDNSUnauthorized, Certificates: 3, Message: in.Records[4].LastFailure.Message}}
	in.Actions = append(in.Actions, plan.Action{Kind: ledger.KindHold, Certificate: "shop2", Wants: ledger.KindIssue, Reason: ledger.ReasonBreaker,
		NotBefore: noon.Add(9 * time.Minute), Detail: "dns.cloudflare_prod has failed for 3 certificates in a row: " + in.Tripped[0].Message})
	in.Pass.Error = "fetching the ledger: git.example.com is away"
	in.Faults = []string{"asking once more: git.example.com is away", "passes cannot do their work with ledger since noon"}
	s, _ := serving(t, in)
	index := get(s, "/").Body.String()
	for words, want := range map[string]int{
		"through the DNS account cloudflare_prod": 1, "git.example.com is away": 1, "passes cannot do their work with ledger": 1, "next try <time": 3, "shop2</a>": 2,
		`<span class="said">dns.cloudflare_prod: Authentication error</span>`: 1,
	} {
		if n := strings.Count(index, words); n != want {
			t.Errorf("%q stands there %d times, want %d%.0s", words, n, want, words)
		}
	}
	if page := get(s, "/certificates/api").Body.String(); strings.Count(page, prevented) != 1 || strings.Count(page, "the message above") != 4 {
		t.Errorf("the page of api says it %d times:\n%s", strings.Count(page, prevented), page)
	}
}

// TestTwoSubjectsOfOneCause: if the same cause holds two issuers, the page shows both, even if the pass failed for it
// too.
func TestTwoSubjectsOfOneCause(t *testing.T) {
	in := ten()
	const refused = "asking for the directory: connect: connection refused"
	in.Pass.Error = refused
	for _, name := range []string{"issuer.a", "issuer.b"} {
		in.Tripped = append(in.Tripped, plan.Tripped{Subject: name, Class: ledger.ClassCAUnavailable, Certificates: 3, Message: refused})
	}
	s, _ := serving(t, in)
	index := get(s, "/").Body.String()
	for _, words := range []string{"issuer.a is held as a whole", "issuer.b is held as a whole"} {
		if !strings.Contains(index, words) {
			t.Errorf("the page does not say %q", words)
		}
	}
}

// TestPassUnderWay: a long pass is not shown as late.
func TestPassUnderWay(t *testing.T) {
	in := ten()
	s, _ := serving(t, in)
	if body := get(s, "/").Body.String(); !strings.Contains(body, ">in 4 min<") {
		t.Errorf("the next pass is not told:\n%.1500s", body)
	}
	in.Pass.Next = noon.Add(-61 * time.Second)
	s.Passed(in)
	if body := get(s, "/").Body.String(); !strings.Contains(body, ">under way for 61 s<") {
		t.Errorf("it does not say that a pass is under way:\n%.1500s", body)
	}
}

// TestLedgerIsAskedOnce: certroll reads the ledger once per pass, however many requests arrive. If the ledger is
// unavailable, the page says so and shows the rest.
func TestLedgerIsAskedOnce(t *testing.T) {
	s, ledger := serving(t, ten())
	for range 3 {
		get(s, "/")
		get(s, "/certificates/api")
	}
	if ledger.n != 1 {
		t.Errorf("the ledger was read %d times", ledger.n)
	}
	ledger.err = errors.New("git.example.com is away")
	s.Passed(ten())
	for _, address := range []string{"/", "/certificates/api"} {
		if body := get(s, address).Body.String(); !strings.Contains(body, "git.example.com is away") || !strings.Contains(body, prevented) {
			t.Errorf("%s does not say that the ledger is away, or not how api stands:\n%s", address, body)
		}
	}
	if ledger.n != 2 {
		t.Errorf("the ledger was read %d times", ledger.n)
	}
}

// slow is a ledger that responds later than a page waits.
type slow struct{ Ledger }

func (s slow) Snapshot(ctx context.Context) (fs.FS, string, error) {
	time.Sleep(2 * patience)
	return s.Ledger.Snapshot(ctx)
}

// TestLedgerIsLate: a page does not wait for a slow ledger, and its listeners get an event when the ledger has
// responded.
func TestLedgerIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := ten()
		s := NewServer(t.Context(), slow{&shelf{tree: story(t, "api"), head: in.Ledger}}, time.Now)
		s.Passed(in)
		heard, leave, _ := s.bell.listen(1)
		defer leave()
		if body := get(s, "/certificates/api").Body.String(); !strings.Contains(body, "the ledger has not answered yet") {
			t.Errorf("it waits, or tells what it cannot know:\n%s", body)
		}
		<-heard
		if body := get(s, "/certificates/api").Body.String(); !strings.Contains(body, "All events of the audit log") {
			t.Errorf("the ledger has come, and it says:\n%s", body)
		}
	})
}

// TestFailedPass: after a failed pass the page keeps the last known state and shows its age.
func TestFailedPass(t *testing.T) {
	s, _ := serving(t, ten())
	s.Passed(Input{Pass: &Pass{Ended: noon, SeenAt: noon, Error: "Vault is sealed"}})
	body := get(s, "/").Body.String()
	for _, part := range []string{"The last pass failed", "how things stand was last seen 42 s ago", "Vault is sealed", `href="certificates/api"`} {
		if !strings.Contains(body, part) {
			t.Errorf("it does not say %q:\n%s", part, body)
		}
	}
	before := NewServer(t.Context(), &shelf{}, time.Now)
	if body := get(before, "/").Body.String(); !strings.Contains(body, "No pass has ended yet") {
		t.Errorf("before the first pass it says:\n%s", body)
	}
}

// TestStatusJSON: arrays are never null, and the filter applies.
func TestStatusJSON(t *testing.T) {
	s, _ := serving(t, ten())
	w := get(s, "/status.json?state=paging")
	var got struct {
		Schema       int
		Certificates []struct{ Certificate, State string }
		Totals       map[ledger.State]int
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Schema != StatusSchema || len(got.Certificates) != 1 || got.Certificates[0].Certificate != "api" || got.Totals[ledger.StateInOrder] != 4 {
		t.Errorf("%v: %s", err, w.Body)
	}
	empty := get(NewServer(t.Context(), &shelf{}, time.Now), "/status.json").Body.String()
	for _, array := range []string{`"certificates":[]`, `"problems":[]`, `"troubles":[]`} {
		if !strings.Contains(empty, array) {
			t.Errorf("%s is not in %s", array, empty)
		}
	}
}

// TestEvents: a listener gets an event for each pass, and its connection ends with the server.
func TestEvents(t *testing.T) {
	life, end := context.WithCancel(t.Context())
	s := NewServer(life, &shelf{tree: fs.FS(fstest.MapFS{})}, time.Now)
	server := httptest.NewServer(s)
	defer server.Close()
	answer, err := http.Get(server.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	heard := func() bool {
		for lines.Scan() {
			if lines.Text() == "event: pass" {
				return true
			}
		}
		return false
	}
	for lines.Scan() && lines.Text() != ": certroll" { // the listener is subscribed
	}
	for range 2 {
		s.Passed(Input{Pass: &Pass{}})
		if !heard() {
			t.Fatal("a pass was not heard")
		}
	}
	end()
	if heard() {
		t.Error("it was told of a pass that was none")
	}
	for range mostListeners {
		if _, _, ok := s.bell.listen(0); !ok {
			break
		}
	}
	if w := get(s, "/events"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("one listener too many: status %d", w.Code)
	}
}
