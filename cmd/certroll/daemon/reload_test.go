package daemon

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/page"
	"certroll/cmd/certroll/settings"
	"certroll/reconcile"
	"certroll/reconcile/outbox"
)

// reloaded is a daemon; the test writes its certroll.hcl and config repo.
type reloaded struct {
	*daemon
	t    *testing.T
	file string
	log  *buffer
}

// reloadable starts a daemon with these settings and one certificate of team shop.
func reloadable(t *testing.T, names, more string) *reloaded {
	t.Helper()
	dir := t.TempDir()
	r := &reloaded{t: t, file: filepath.Join(dir, "certroll.hcl"), log: &buffer{}}
	certs := filepath.Join(dir, "certs")
	for _, d := range []string{filepath.Join(certs, "shop"), filepath.Join(dir, "state")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(certs, "shop", "a.hcl"), []byte(shopCertificate), 0o600); err != nil {
		t.Fatal(err)
	}
	r.write(names, more)
	s, files, diags, err := settings.Load(r.file)
	if err != nil || diags.HasErrors() {
		t.Fatal(err, diags, len(files))
	}
	if s.Logger, err = s.Log.Logger(r.log); err != nil {
		t.Fatal(err)
	}
	p := Options{Console: &console.Console{Err: io.Discard, NoColor: true}, ConfigFile: r.file, ConfigDir: certs}
	if r.daemon, err = newDaemon(p, s, s.Logger); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.files.Close)
	r.page = page.NewServer(t.Context(), &r.shelf, time.Now)
	r.reload.loop = reconcile.NewLoop(nil, r, reconcile.LoopOptions{Interval: s.Interval, Ended: nil})
	r.pull()
	return r
}

const shopCertificate = `
certificate "shop" {
  domains = ["shop.example.com"]
  issuer  = issuer.ca
  dns     = [dns.lab]
}
`

// write writes a certroll.hcl that allows team shop these names.
func (r *reloaded) write(names, more string) {
	r.t.Helper()
	r.writeBytes(more + `
state_dir = "` + filepath.Join(filepath.Dir(r.file), "state") + `"
listen    = ""
ledger {
  url = "https://git.example.com/ledger.git"
}
issuer "ca" {
  directory = "https://ca.example.com/dir"
  email     = "certs@example.com"
  terms_of_service_agreed = true
}
dns "lab" {
  provider    = "rfc2136"
  credentials = { RFC2136_NAMESERVER = "192.0.2.1:53" }
}
policy "shop" {
  files = ["shop/**"]
  names = ["` + names + `"]
}
`)
}

func (r *reloaded) writeBytes(hcl string) {
	r.t.Helper()
	if err := os.WriteFile(r.file, []byte(hcl), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// pull does the loop's work between passes and waits until decoding ends, with no time limit.
func (r *reloaded) pull() {
	r.t.Helper()
	for !r.takeReload(r.t.Context()) {
		if err := r.t.Context().Err(); err != nil {
			r.t.Fatal(err)
		}
	}
	for again := true; again; again = r.repo.IsDecoding() {
		if err := r.repo.Pull(r.t.Context()); err != nil {
			r.t.Fatalf("%v\n%s", err, r.log)
		}
	}
}

// sighup does what SIGHUP does, and the pull after it.
func (r *reloaded) sighup() {
	r.t.Helper()
	r.askReload()
	r.pull()
}

// says requires lines in the log and sentences on the page.
func (r *reloaded) says(what string, log, page []string) {
	r.t.Helper()
	notes := strings.Join(r.reload.notes(), "\n")
	for _, part := range log {
		if !strings.Contains(r.log.String(), part) {
			r.t.Errorf("%s: the log lacks %q:\n%s", what, part, r.log)
		}
	}
	for _, part := range page {
		if !strings.Contains(notes, part) {
			r.t.Errorf("%s: the page lacks %q: %s", what, part, notes)
		}
	}
	if page == nil && notes != "" {
		r.t.Errorf("%s: the page says %s", what, notes)
	}
}

// TestReload: SIGHUP applies policies, interval and log level together. Settings that need a restart are named and keep
// their value.
func TestReload(t *testing.T) {
	r := reloadable(t, "shop.example.com", `interval = "5m"`)
	r.write("**.example.com", "interval = \"7m\"\nparallel = 4\nlog {\n  level = \"debug\"\n}\nvault {\n  address = \"https://vault.example.com\"\n}")
	r.pull()
	r.says("changed on disk", []string{"certroll.hcl on disk differs from the settings in use"}, []string{"has changed since it was read at ", "kill -HUP"})
	if got := r.reload.advice(); !strings.Contains(got, "SIGHUP") {
		t.Errorf("a refused revision gets the advice %q", got)
	}
	r.sighup()
	r.says("reloaded", []string{"certroll.hcl was read again", "restart_for=parallel,vault", "certroll.hcl on disk matches the settings in use"},
		[]string{"certroll run needs a restart for parallel, vault"})
	if r.settings.Interval != 7*time.Minute || r.settings.Parallel != 0 || r.settings.Vault.Address != "" {
		t.Errorf("in use are %s, %d, %q", r.settings.Interval, r.settings.Parallel, r.settings.Vault.Address)
	}
	if !r.daemon.log.Enabled(t.Context(), slog.LevelDebug) {
		t.Error("the level is as it was")
	}
	// The new policy allows this certificate.
	more := strings.ReplaceAll(shopCertificate, "shop", "api")
	if err := os.WriteFile(filepath.Join(r.ConfigDir, "shop", "b.hcl"), []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	if r.pull(); len(r.repo.Desired.Certificates) != 2 {
		t.Errorf("%d certificates", len(r.repo.Desired.Certificates))
	}
}

// TestReloadRefused: an invalid certroll.hcl changes nothing. After it is fixed, the page shows no problem.
func TestReloadRefused(t *testing.T) {
	r := reloadable(t, "shop.example.com", `interval = "5m"`)
	before := r.settings
	for name, tc := range map[string]struct {
		write func()
		says  string
	}{
		"a mistake":                      {func() { r.writeBytes("interval = \"often\"\n") }, "Invalid interval"},
		"half of a file":                 {func() { r.writeBytes("policy \"shop\" {\n") }, "closing brace"},
		"a level that there is not":      {func() { r.write("shop.example.com", "log {\n  level = \"loud\"\n}") }, "loud"},
		"a webhook without a secret":     {func() { r.write("shop.example.com", "webhook \"github\" {\n  secret_env = \"NOT_SET\"\n}") }, "webhook"},
		"the revision in force rejected": {func() { r.write("other.example.com", "") }, "it rejects the revision in force"},
		"gone":                           {func() { _ = os.Remove(r.file) }, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.write()
			r.sighup()
			r.says(name, []string{"certroll.hcl was not reloaded", tc.says}, []string{"was not reloaded", tc.says})
			if r.settings != before || len(r.repo.Desired.Certificates) != 1 {
				t.Error("something changed")
			}
			r.write("shop.example.com", `interval = "5m"`)
			r.pull()
			r.says("mended", nil, nil)
		})
	}
}

// TestReloadAtOnce: a signal nudges the loop. Several signals during a pass cause one reload of the current file; no
// signal is lost, and no reload happens without one.
func TestReloadAtOnce(t *testing.T) {
	r := reloadable(t, "shop.example.com", `interval = "5m"`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.awaitReloads(ctx)
	signalled := func() {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		<-r.files.changed // nudges the loop
	}
	reloads := func(when string, n int, interval time.Duration) {
		t.Helper()
		r.pull()
		if got := strings.Count(r.log.String(), "certroll.hcl was read again"); got != n || r.settings.Interval != interval {
			t.Errorf("%s: it was read again %d times, want %d; the interval is %s, want %s", when, got, n, r.settings.Interval, interval)
		}
	}
	<-r.files.changed // sent after the first revision was decoded
	reloads("no signal", 0, 5*time.Minute)
	r.write("shop.example.com", `interval = "6m"`)
	signalled()
	signalled()
	r.write("shop.example.com", `interval = "8m"`) // the file changes again during a pass
	reloads("two signals", 1, 8*time.Minute)
	<-r.files.changed // sent after the file was read
	reloads("none since", 1, 8*time.Minute)
	r.write("shop.example.com", `interval = "9m"`)
	signalled()
	reloads("another signal", 2, 9*time.Minute)
}

// TestReloadRefusedFromOutside: if something other than the file made a reload fail, the page shows that until a reload
// succeeds.
func TestReloadRefusedFromOutside(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	there := func() {
		t.Helper()
		if err := os.WriteFile(token, []byte(listenToken), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	there()
	more := `listen_token_file = "` + token + `"`
	r := reloadable(t, "shop.example.com", more)
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	refused := []string{"certroll.hcl was not reloaded", token}
	r.sighup()
	r.says("the token is gone", refused, refused)
	r.pull()
	r.says("a pass later", nil, refused)
	r.write("**.example.com", more)
	r.pull()
	r.says("the file changed as well", nil, refused)
	r.write("shop.example.com", more)
	r.pull()
	r.says("it is as it was again", nil, refused)
	there()
	r.sighup()
	r.says("the token is back", nil, nil)
}

// TestReloadServes: a reload changes the token and the host names that run requires.
func TestReloadServes(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(listenToken), 0o600); err != nil {
		t.Fatal(err)
	}
	r := reloadable(t, "shop.example.com", "")
	r.reload.address = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9464}
	r.reload.front.store(r.routes(r.settings, nil, r.reload.address))
	ask := func() int {
		w := httptest.NewRecorder()
		req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		req.Host = "127.0.0.1"
		r.reload.front.ServeHTTP(w, req)
		return w.Code
	}
	if code := ask(); code != http.StatusOK {
		t.Fatalf("before: %d", code)
	}
	r.write("shop.example.com", `listen_token_file = "`+token+`"`)
	r.sighup()
	if code := ask(); code != http.StatusUnauthorized {
		t.Errorf("with a token asked for: %d", code)
	}
}

// TestReloadServesNowhere: a reload rejects a webhook without an address to serve it.
func TestReloadServesNowhere(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(listenToken), 0o600); err != nil {
		t.Fatal(err)
	}
	hook := "webhook \"github\" {\n  secret_file = \"" + secret + "\"\n}"
	for name, tc := range map[string]struct {
		listen  *string
		address net.Addr
		refused bool
	}{
		"the usual address was taken": {nil, nil, true},
		"it is served":                {nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9464}, false},
		"nothing is to be served":     {new(string), nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := reloadable(t, "shop.example.com", "")
			r.settings.Listen, r.reload.address = tc.listen, tc.address
			r.write("shop.example.com", hook)
			r.sighup()
			if tc.refused {
				said := []string{"it has webhook blocks, and certroll run has served nothing since it started"}
				r.says(name, said, said)
			}
			if taken := len(r.settings.Webhooks) == 1; taken == tc.refused {
				t.Errorf("taken: %t\n%s", taken, r.log)
			}
		})
	}
}

// TestReloadOpens: removing the token of an address that others can reach logs the same warning as at the start.
func TestReloadOpens(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(listenToken), 0o600); err != nil {
		t.Fatal(err)
	}
	const warning = "the status page is served without authentication"
	for address, warned := range map[string]bool{"127.0.0.1": false, "192.0.2.1": true} {
		t.Run(address, func(t *testing.T) {
			r := reloadable(t, "shop.example.com", `listen_token_file = "`+token+`"`)
			r.reload.address = &net.TCPAddr{IP: net.ParseIP(address), Port: 9464}
			r.sighup()
			if strings.Contains(r.log.String(), warning) {
				t.Errorf("with a token it is warned of:\n%s", r.log)
			}
			r.write("shop.example.com", "")
			r.sighup()
			if got := strings.Contains(r.log.String(), warning); got != warned {
				t.Errorf("warned: %t\n%s", got, r.log)
			}
		})
	}
}

// TestReloadTellsHolds: a reload logs the certificates that its new rules hold, as the start does.
func TestReloadTellsHolds(t *testing.T) {
	const pdns = "dns \"pdns\" {\n  provider    = \"pdns\"\n  credentials = { PDNS_API_URL = \"http://pdns.internal\" }\n}\n" +
		"certificate \"held\" {\n  domains = [\"held.example.com\"]\n  issuer  = issuer.ca\n  dns     = dns.pdns\n}\n"
	const policy = "policy \"dns\" {\n  files  = [\"dns.hcl\"]\n  blocks = [\"dns\", \"certificate\"]\n  names  = [\"held.example.com\"]\n}\n"
	r := reloadable(t, "shop.example.com", policy+"trust {\n  endpoints = [\"pdns.internal:80\"]\n}")
	if err := os.WriteFile(filepath.Join(r.ConfigDir, "dns.hcl"), []byte(pdns), 0o600); err != nil {
		t.Fatal(err)
	}
	r.pull()
	if len(r.repo.Desired.DNS["pdns"].Held) != 0 {
		t.Fatalf("it is held: %+v", r.repo.Desired.DNS["pdns"])
	}
	r.write("shop.example.com", policy)
	r.sighup()
	r.says("no longer allowed", []string{"certroll.hcl was read again", `msg="held by a new rule" rule=trust.endpoints subject=dns.pdns`}, nil)
}

// TestReloadNotify: new destinations replace the old ones after these have ended; unchanged destinations continue.
func TestReloadNotify(t *testing.T) {
	hook := func(kind string) string {
		return "notify \"ops\" {\n  webhook    = \"https://hooks.example.com\"\n  secret_env = \"HOOK\"\n  on         = [\"" + kind + "\"]\n}"
	}
	r := reloadable(t, "shop.example.com", hook("failing"))
	var started []string
	r.notices.start = func(s *settings.Settings) { started = append(started, s.Notify[0].On[0]) }
	for _, hcl := range []string{"\n\n" + hook("failing"), hook("tampered"), hook("tampered")} {
		r.write("shop.example.com", hcl)
		r.sighup()
	}
	if len(started) != 1 || started[0] != "tampered" {
		t.Errorf("started %q", started)
	}

	var n notices
	var beside sync.WaitGroup
	n.run(t.Context(), &beside, nil)
	first := n.ended
	ctx, cancel := context.WithCancel(t.Context())
	n.run(ctx, &beside, outbox.NewNotifier(nil, nil, outbox.NotifierOptions{}))
	n.wake()
	cancel()
	beside.Wait()
	<-first
}
