package main

import (
	"html"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"certroll/cmd/certroll/settings"
	"certroll/examples/lab"
)

// incident is a problem that an operator is called for, and what certroll shows for it. docs/troubleshooting.md has a
// table of them.
type incident struct {
	name        string
	cause, mend func(s *scene)
	// Patterns for the output during the incident; "" does not check that place.
	status, page, log, notice string
	ready                     string // pattern for /readyz; "^ok$" for an incident that does not affect it
	expiring                  string // pattern for certroll expiring
	after                     string // pattern for the notification after the incident
	last                      bool   // the daemon's next pass would come only after a minute, and this test does not wait for it
}

// scene is a running certroll; the incidents happen to it one after the other.
type scene struct {
	*world
	f      *front
	r      *receiver
	out    *output
	home   string
	seen   int // length of the log before the incident
	quoted int
	saw    *strings.Builder // all output during the incident
}

// incidents happen in this order, and each is fixed before the next.
var incidents = []incident{
	{
		name: "DNS key revoked",
		cause: func(s *scene) {
			s.dns.FailUpdates(lab.Refuse)
			s.push(each("rotate = \"dns\"", "a", "b", "c", "d"), "Rotate all")
		},
		mend: func(s *scene) {
			s.dns.FailUpdates(lab.None)
			s.certroll(0, "retry", "a", "b", "c", "d", "-reason", "the key is current")
		},
		status: `dns\.lab: .*REFUSED`, page: `dns\.lab is held as a whole.*REFUSED`, ready: "^ok$",
		log: `msg=action .*class=dns_unauthorized .*REFUSED`, notice: `^certroll: DNS account lab refuses certroll's credentials: `, after: `recovered$`,
	},
	{
		name: "CA away",
		cause: func(s *scene) {
			s.f.close()
			s.push(each("rotate = \"ca\"", "a"), "Rotate one")
		},
		mend: func(s *scene) {
			s.f.reopen()
			s.certroll(0, "retry", "a", "-reason", "the CA is back")
		},
		status: `^a +failing .*ca_unavailable: .*connection refused`, page: `ca_unavailable</b>.*connection refused`, ready: "^ok$",
		log: `msg=action certificate=a .*class=ca_unavailable`, notice: `^certroll: issuer pebble does not answer: a failed \(ca_unavailable\)$`, after: `^certroll: a recovered$`,
	},
	{
		name:   "Git away",
		cause:  func(s *scene) { s.must(os.Rename(s.repo, s.repo+".away")) },
		mend:   func(s *scene) { s.must(os.Rename(s.repo+".away", s.repo)) },
		status: `The ledger cannot be read; certroll run says`, page: `passes cannot do their work with config_repo`, ready: "config_repo",
		log: `msg="pull failed"`,
	},
	{
		name: "secret deleted",
		cause: func(s *scene) {
			s.f.close()
			s.api(http.MethodDelete, "secret/data/tls/b", nil, nil)
		},
		mend: func(s *scene) {
			s.f.reopen()
			s.certroll(0, "retry", "b", "-reason", "the CA is back")
		},
		status: `^b +deleted .*vault kv undelete`, page: `state deleted">deleted<.*vault kv undelete -mount=secret -versions=\d+ tls/b`, ready: "^ok$",
		log: `certificate=b .*reason=deleted`, notice: `^certroll: the secret of b was deleted by another program$`, after: `^certroll: (the secret of b is there again|b recovered)$`,
	},
	{
		name: "secret destroyed",
		cause: func(s *scene) {
			s.f.close()
			s.api(http.MethodDelete, "secret/metadata/tls/c", nil, nil)
		},
		mend: func(s *scene) {
			s.f.reopen()
			s.certroll(0, "retry", "c", "-reason", "the CA is back")
		},
		status: `^c +deleted .*deleted with all its versions`, page: `state deleted">deleted<.*secret/tls/c`, ready: "^ok$",
		log: `certificate=c .*reason=deleted`, notice: `^certroll: the secret of c was deleted by another program$`, after: `^certroll: (the secret of c is there again|c recovered)$`,
	},
	{
		name: "secret overwritten",
		cause: func(s *scene) {
			s.api(http.MethodPost, "secret/data/tls/d", map[string]any{"data": map[string]string{"fullchain": "none"}}, nil)
		},
		mend:  func(*scene) {}, // certroll repairs it by itself
		ready: "^ok$",          // status and the page show no problem, because it is repaired
		log:   `msg=action certificate=d operation=repair status=success reason=drifted`, notice: `^certroll: the secret of d was changed by another program, and certroll restores it$`,
	},
	{
		name:  "ledger deleted",
		cause: func(s *scene) { s.git("update-ref", "-d", "refs/heads/certroll/status") },
		mend: func(s *scene) {
			s.certroll(0, "audit", "accept", accepted.FindStringSubmatch(s.certroll(1, "audit", "verify"))[1])
		},
		status: `the ledger was found rewritten`, page: `the ledger was found rewritten.*certroll audit verify`, ready: "^ok$",
		log: `(rewritten|moved back)`, notice: `^certroll: the ledger was rewritten$`,
	},
	{
		name: "about to expire, paused",
		cause: func(s *scene) {
			s.push(map[string]string{"hour.hcl": "certificate \"hour\" {\n  domains = [\"hour.lab.test\"]\n  issuer  = issuer.hourly\n  dns     = dns.lab\n  renewal {\n    auto = false\n    reason = \"the card reader is tested\"\n  }\n}\n"}, "Declare one of an hour")
		},
		mend:   func(s *scene) { s.push(map[string]string{"hour.hcl": "# none\n"}, "Take it out") },
		status: `^hour +unmanaged +in \d+ min .*the card reader is tested`, page: `state expiring">expiring<.*certroll does not renew it`, ready: "^ok$",
		log: `certificate=hour operation=issue status=success`, notice: `^certroll: hour expires in \d+ minutes and is not renewed$`,
		expiring: `Close to its end, and not renewed by itself: hour\.`,
	},
	{
		name:   "Vault sealed",
		cause:  func(s *scene) { s.must(s.vault.Seal(s.t.Context())) },
		mend:   func(s *scene) { s.must(s.vault.Unseal(s.t.Context())) },
		status: `the last pass failed .*Vault is sealed`, page: `The last pass failed.*Vault is sealed; unseal it \(vault operator unseal\)`, ready: `^Vault is sealed; unseal it|could not do its work with vault`,
		log: `level=ERROR msg="pass failed" .*Vault is sealed`, last: true,
	},
}

var accepted = regexp.MustCompile(`certroll audit accept ([0-9a-f]+)`)

// TestIncidents: during an incident, every place where an operator looks shows the problem and the command to type. The
// test has no time limit for that, because a machine under load may need more than a minute; the log has the times.
func TestIncidents(t *testing.T) {
	t.Parallel()
	l := newLabWith(t, lab.PebbleOptions{Profiles: map[string]uint64{"default": 90 * 24 * 3600, "hour": 3600}})
	w, f := l.faulty(t, each("", "a", "b", "c", "d"))
	s := &scene{world: w, f: f, r: newReceiver(t)}
	w.settings(allTold(w.blocks(s.r)))
	w.editSettings(func(text string) string {
		from := strings.Index(text, `issuer "pebble"`)
		block := text[from : from+strings.Index(text[from:], "\n}\n")+3]
		with := func(name, profile string) string {
			return strings.NewReplacer(`"pebble"`, strconv.Quote(name), "{\n", "{\n  profile = "+strconv.Quote(profile)+"\n").Replace(block)
		}
		return strings.Replace(text, block, with("pebble", "default")+with("hourly", "hour"), 1)
	})
	cmd, out := w.startRun()
	s.out, s.home = out, w.findsRun(out, out.String)
	w.until("the certificates", out, func() bool { return w.countEvents("issue", "success") == 4 })
	for _, one := range incidents {
		t.Run(one.name, func(t *testing.T) { s.as(t).happens(one) })
	}
	w.stopRun(cmd, out)
	w.keepsNotifySecrets(out.String())
}

// allTold changes the settings so that the first destination gets the default kinds.
func allTold(blocks string) string {
	return strings.Replace(blocks, "  on          = [\"failing\", \"recovered\"]\n", "", 1)
}

var listening = regexp.MustCompile(`msg=listening address=(\S+)`)

// asking is the certroll.hcl of the commands that query run: it contains the free address that run chose. The daemon
// keeps its own file.
const asking = "asking.hcl"

// findsRun finds run's address in its log and writes the file asking.
func (w *world) findsRun(out *output, log func() string) string {
	w.t.Helper()
	w.until("the address", out, func() bool { return listening.MatchString(log()) })
	address := listening.FindStringSubmatch(log())[1]
	b, err := os.ReadFile(filepath.Join(w.dir, settings.DefaultFile))
	if err != nil {
		w.t.Fatal(err)
	}
	text := strings.Replace(string(b), "127.0.0.1:0", address, 1)
	if err := os.WriteFile(filepath.Join(w.dir, asking), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return "http://" + address
}

// each declares certificates, one per file.
func each(more string, names ...string) map[string]string {
	files := map[string]string{}
	for _, name := range names {
		files[name+".hcl"] = declare(more, name)["certs.hcl"]
	}
	return files
}

// as returns the scene for a subtest.
func (s *scene) as(t *testing.T) *scene {
	w, c := *s.world, *s
	w.t, c.world = t, &w
	return &c
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// happens causes the incident, checks every place, and fixes it.
func (s *scene) happens(one incident) {
	s.t.Helper()
	s.untilWell()
	s.seen, s.quoted = len(s.out.String()), len(s.subjects())
	s.saw = &strings.Builder{}
	one.cause(s)
	defer s.agrees(one.name)
	s.show(map[string]string{"status": one.status, "page": one.page, "log": one.log, "notice": one.notice, "expiring": one.expiring})
	s.show(map[string]string{"readyz": one.ready}) // checked last, because it is ok before the incident too
	s.quoted = len(s.subjects())                   // skips late notifications of the previous incident
	one.mend(s)
	s.show(map[string]string{"notice": one.after})
	if !one.last {
		s.untilWell()
	}
}

var (
	incidentRow = regexp.MustCompile("(?m)^\\| ([^|`]+) \\| (.+) \\| (.+) \\|$")
	inQuotes    = regexp.MustCompile("`([^`]+)`")
)

// incidentRows returns the quoted output in docs/troubleshooting.md, by incident.
func incidentRows(t *testing.T) map[string][]string {
	t.Helper()
	b, err := os.ReadFile("../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(b), "## Incidents\n")
	table, _, _ = strings.Cut(table, "\n## ")
	rows := map[string][]string{}
	for _, m := range incidentRow.FindAllStringSubmatch(table, -1) {
		rows[m[1]] = []string{}
		for _, q := range inQuotes.FindAllStringSubmatch(m[2], -1) {
			if q[1] != "status" && !strings.HasPrefix(q[1], "certroll ") && !strings.HasPrefix(q[1], "/") {
				rows[m[1]] = append(rows[m[1]], strings.ReplaceAll(q[1], "NAME", "lab"))
			}
		}
	}
	return rows
}

// TestIncidentsAreDocumented: each incident has a row that quotes what the operator sees.
func TestIncidentsAreDocumented(t *testing.T) {
	t.Parallel()
	rows := incidentRows(t)
	for _, one := range append(incidents, incident{name: "disk full"}) {
		if len(rows[one.name]) == 0 {
			t.Errorf("docs/troubleshooting.md quotes nothing of the incident %q", one.name)
		}
	}
	if len(rows) != len(incidents)+2 { // plus the header and the full disk
		t.Errorf("it has %d rows: %v", len(rows), rows)
	}
}

// agrees requires that certroll showed what the documentation quotes.
func (s *scene) agrees(name string) {
	s.t.Helper()
	for _, quote := range incidentRows(s.t.(*testing.T))[name] {
		if !strings.Contains(s.saw.String(), quote) {
			s.t.Errorf("docs/troubleshooting.md says that %q shows %q, which was not to be seen", name, quote)
		}
	}
}

// show requires the expected output at each place, and checks all places in turn until the last one has it.
func (s *scene) show(wanted map[string]string) {
	s.t.Helper()
	began := time.Now()
	maps.DeleteFunc(wanted, func(_, want string) bool { return want == "" })
	for ; len(wanted) > 0; time.Sleep(50 * time.Millisecond) { // polls another process
		late := time.Since(began) > longest
		for place, want := range wanted {
			last := s.at(place)
			s.saw.WriteString(last + "\n")
			switch took := time.Since(began).Round(time.Millisecond); {
			case regexp.MustCompile("(?m)" + want).MatchString(last):
				s.t.Logf("%s says it after %s", place, took)
			case late:
				s.t.Errorf("%s does not say %q after %s:\n%s", place, want, took, last)
			default:
				continue
			}
			delete(wanted, place)
		}
	}
}

// at returns the output of a place since the incident began.
func (s *scene) at(place string) string {
	s.t.Helper()
	switch place {
	case "status", "expiring":
		cmd := s.command(place, "--config", asking)
		said, _ := cmd.CombinedOutput() // exits 1 or 3 during a problem
		return string(said)
	case "page":
		return html.UnescapeString(strings.ReplaceAll(get(s.t.(*testing.T), s.home+"/"), "\n", " "))
	case "log":
		return s.out.String()[s.seen:]
	case "readyz":
		return answerOf(s.t.(*testing.T), s.home+"/readyz")
	}
	for _, subject := range s.subjects()[s.quoted:] {
		if !strings.Contains(subject, "issued") {
			return strings.Join(s.subjects()[s.quoted:], "\n")
		}
	}
	return ""
}

// subjects returns the subjects of the notifications so far.
func (s *scene) subjects() []string {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	var list []string
	for _, n := range s.r.taken {
		list = append(list, n.Data.Subject)
	}
	return list
}

// untilWell waits until every place reports no problem.
func (s *scene) untilWell() {
	s.t.Helper()
	bad := regexp.MustCompile(`"(?:revoked|deleted|paging|failing|expired|expiring|overdue|held|missing|due)":[1-9]`)
	s.until("that all are in order", s.out, func() bool {
		said := get(s.t.(*testing.T), s.home+"/status.json")
		return !bad.MatchString(said) && strings.Contains(said, `"troubles":[]`) && strings.Contains(said, `"error":""`)
	})
}
