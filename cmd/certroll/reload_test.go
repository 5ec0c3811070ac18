package main

import (
	"bytes"
	"context"
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

	"certroll/cmd/certroll/page"
	"certroll/reconcile"
)

// reloaded is a daemon whose certroll.hcl and config repo a test writes.
type reloaded struct {
	*daemon
	t    *testing.T
	file string
	log  *output
}

// reloadable starts with these settings and one certificate of team shop.
func reloadable(t *testing.T, names, more string) *reloaded {
	t.Helper()
	dir := t.TempDir()
	r := &reloaded{t: t, file: filepath.Join(dir, "certroll.hcl"), log: &output{}}
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
	r.daemon = idleDaemon(t, certs)
	r.configFile = r.file
	s, files, diags, err := loadSettings(r.file)
	if err != nil || diags.HasErrors() {
		t.Fatal(err, diags, len(files))
	}
	if r.daemon.log, err = s.Log.logger(r.log); err != nil {
		t.Fatal(err)
	}
	s.log = r.daemon.log
	r.settings, r.say, r.page = s, newDecisions(r.daemon.log), page.NewServer(t.Context(), &r.shelf, time.Now)
	r.reload = reloading{asked: make(chan struct{}, 1), at: time.Now()}
	r.reload.loop = reconcile.NewLoop(nil, r, reconcile.LoopOptions{Interval: s.interval, Ended: nil})
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

// pull is what the loop does between two passes.
func (r *reloaded) pull() {
	r.t.Helper()
	if r.takeReload(r.t.Context()) {
		if err := r.daemon.pull(r.t.Context()); err != nil {
			r.t.Fatalf("%v\n%s", err, r.log)
		}
	}
}

// sighup is what the signal does, and the pull that follows it.
func (r *reloaded) sighup() {
	r.t.Helper()
	r.askReload()
	r.pull()
}

// says demands lines of the log and sentences of the page.
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

// TestReload: SIGHUP takes policies, interval and level as a whole, and what needs a
// restart is named and stays.
func TestReload(t *testing.T) {
	r := reloadable(t, "shop.example.com", `interval = "5m"`)
	r.write("**.example.com", "interval = \"7m\"\nparallel = 4\nlog {\n  level = \"debug\"\n}\nvault {\n  address = \"https://vault.example.com\"\n}")
	r.pull()
	r.says("changed on disk", []string{"certroll.hcl on disk is not what certroll run has read"}, []string{"has changed since it was read at ", "kill -HUP"})
	if got := r.reload.advice(); !strings.Contains(got, "SIGHUP") {
		t.Errorf("a refused revision gets the advice %q", got)
	}
	r.sighup()
	r.says("reloaded", []string{"certroll.hcl was read again", "restart_for=parallel,vault", "certroll.hcl on disk is what certroll run has read"},
		[]string{"certroll run needs a restart for parallel, vault"})
	if r.settings.interval != 7*time.Minute || r.settings.Parallel != 0 || r.settings.Vault.Address != "" {
		t.Errorf("in use are %s, %d, %q", r.settings.interval, r.settings.Parallel, r.settings.Vault.Address)
	}
	if !r.daemon.log.Enabled(t.Context(), slog.LevelDebug) {
		t.Error("the level is as it was")
	}
	// What the new policy allows is taken.
	more := strings.ReplaceAll(shopCertificate, "shop", "api")
	if err := os.WriteFile(filepath.Join(r.configDir, "shop", "b.hcl"), []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	if r.pull(); len(r.desired.Certificates) != 2 {
		t.Errorf("%d certificates", len(r.desired.Certificates))
	}
}

// TestReloadRefused: a certroll.hcl that cannot be taken changes nothing, and once it is
// mended the page is clear again.
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
			if r.settings != before || len(r.desired.Certificates) != 1 {
				t.Error("something changed")
			}
			r.write("shop.example.com", `interval = "5m"`)
			r.pull()
			r.says("mended", nil, nil)
		})
	}
}

// TestReloadAtOnce: signals that come quickly, or while a pass lasts, are one reload of
// the file as it is then; none is lost, and none comes of itself.
func TestReloadAtOnce(t *testing.T) {
	r := reloadable(t, "shop.example.com", `interval = "5m"`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.awaitReloads(ctx)
	r.write("shop.example.com", `interval = "6m"`)
	for range 3 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	<-r.files.changed                              // the loop is nudged
	r.write("shop.example.com", `interval = "8m"`) // a pass lasts, and the file changes again
	r.pull()
	for deadline := time.Now().Add(10 * time.Second); r.settings.interval != 8*time.Minute && time.Now().Before(deadline); {
		r.pull()
	}
	if r.settings.interval != 8*time.Minute {
		t.Errorf("the interval is %s", r.settings.interval)
	}
}

// TestReloadServes: the token and the host names that run asks for follow certroll.hcl.
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

// TestReloadNotify: other destinations take the place of those before once these have
// ended, and the same ones go on.
func TestReloadNotify(t *testing.T) {
	hook := func(kind string) string {
		return "notify \"ops\" {\n  webhook    = \"https://hooks.example.com\"\n  secret_env = \"HOOK\"\n  on         = [\"" + kind + "\"]\n}"
	}
	r := reloadable(t, "shop.example.com", hook("failing"))
	var started []string
	r.notices.start = func(s *settings) { started = append(started, s.Notify[0].On[0]) }
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
	n.run(ctx, &beside, reconcile.NewNotifier(nil, nil, reconcile.NotifierOptions{}))
	n.wake()
	cancel()
	beside.Wait()
	<-first
}

// TestRunSaysWhatIsMissing: without certroll.hcl run says so before it does anything.
func TestRunSaysWhatIsMissing(t *testing.T) {
	t.Chdir(t.TempDir())
	var out bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, err: &out, getenv: func(string) string { return "" }}
	if code := a.main([]string{"run"}); code != exitError {
		t.Errorf("exit code %d", code)
	}
	said := out.String()
	if first, _, _ := strings.Cut(said, "\n"); !strings.Contains(first, "there is no certroll.hcl") || strings.Contains(said, "listening") || !strings.Contains(said, "repo.url") {
		t.Errorf("it said:\n%s", said)
	}
}

// TestReloadSource: other signers open the config repo anew; where that fails it is read
// as before.
func TestReloadSource(t *testing.T) {
	d := idleDaemon(t, "")
	old := &settings{Repo: &repoSettings{URL: t.TempDir()}}
	d.source = sourceAt(t, old.Repo.URL)
	signed := &settings{Repo: old.Repo, Verify: &verifySettings{SSHAllowedSigners: "signers"}}
	before := d.source
	if sameSource(old, signed) || !sameSource(old, &settings{Repo: &repoSettings{URL: old.Repo.URL}}) {
		t.Error("a change of the signers is none, or the same settings are others")
	}
	if err := d.reopenSource(old, signed); err != nil || d.source == before {
		t.Errorf("it was not opened anew: %v", err)
	}
	before = d.source
	t.Setenv("GIT_TOKEN", "")
	if err := d.reopenSource(old, &settings{Repo: &repoSettings{URL: old.Repo.URL, Auth: &gitAuth{TokenEnv: "GIT_TOKEN"}}}); err == nil || d.source == nil || d.source == before {
		t.Errorf("without its token: %v", err)
	}
}
