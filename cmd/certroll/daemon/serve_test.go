package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"certroll/cmd/certroll/metrics"
	"certroll/cmd/certroll/settings"
	"certroll/reconcile"
	"certroll/reconcile/plan"
)

const listenToken = "a token of this test alone"

// TestGuard checks which requests are allowed, by host name and token.
func TestGuard(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	keep := func(token string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listen := "certs.example.com:9464"
	guarded, named := settings.Settings{Listen: &listen, ListenTokenFile: file}, settings.Settings{Listen: &listen, ListenHosts: []string{"status.example.com"}}
	basic := func(password string) string {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.SetBasicAuth("anybody", password)
		return r.Header.Get("Authorization")
	}
	cases := map[string]struct {
		settings settings.Settings
		remote   bool
		host     string
		auth     string
		status   int
	}{
		"loopback":                       {host: "127.0.0.1:9464", status: 200},
		"loopback, without a port":       {host: "127.0.0.1", status: 200},
		"loopback, IPv6":                 {host: "[::1]:9464", status: 200},
		"loopback, IPv6 without a port":  {host: "[::1]", status: 200},
		"loopback, by name":              {host: "LocalHost:9464", status: 200},
		"another address":                {host: "192.0.2.1:9464", status: 200},
		"a rebound name":                 {host: "evil.example.com:9464", status: 421},
		"a rebound name, rooted":         {host: "evil.example.com.:9464", status: 421},
		"like an address":                {host: "127.0.0.1.example.com", status: 421},
		"no name":                        {status: 421},
		"a name of listen_hosts":         {settings: named, host: "status.example.com", status: 200},
		"the name that it listens on":    {settings: named, host: "certs.example.com:9464", status: 200},
		"any name, reached by others":    {remote: true, host: "evil.example.com", status: 200},
		"listen_hosts hold there too":    {settings: named, remote: true, host: "evil.example.com", status: 421},
		"without the token":              {settings: guarded, host: "127.0.0.1", status: 401},
		"a bearer":                       {settings: guarded, host: "127.0.0.1", auth: "Bearer " + listenToken, status: 200},
		"a bearer, in lower case":        {settings: guarded, host: "127.0.0.1", auth: "bearer " + listenToken, status: 200},
		"a bearer of a wrong token":      {settings: guarded, host: "127.0.0.1", auth: "Bearer " + listenToken + "x", status: 401},
		"a bearer of none":               {settings: guarded, host: "127.0.0.1", auth: "Bearer ", status: 401},
		"the token alone":                {settings: guarded, host: "127.0.0.1", auth: listenToken, status: 401},
		"as a password":                  {settings: guarded, host: "127.0.0.1", auth: basic(listenToken), status: 200},
		"a wrong password":               {settings: guarded, host: "127.0.0.1", auth: basic("x"), status: 401},
		"the token from a rebound name":  {settings: guarded, host: "evil.example.com", auth: "Bearer " + listenToken, status: 421},
		"a token file that is not there": {settings: settings.Settings{ListenTokenFile: file + "x"}, host: "127.0.0.1", auth: "Bearer " + listenToken, status: 503},
	}
	keep(listenToken)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			g := &guard{settings: &tc.settings, loopback: !tc.remote, log: slog.New(slog.NewTextHandler(&log, nil)),
				next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
			r, w := httptest.NewRequest(http.MethodGet, "/metrics", nil), httptest.NewRecorder()
			r.Host = tc.host
			r.Header.Set("Authorization", tc.auth)
			g.ServeHTTP(w, r)
			if w.Code != tc.status {
				t.Errorf("status %d, want %d: %s", w.Code, tc.status, w.Body)
			}
			if refused := w.Code != 200 && (w.Code != 401 || tc.auth != ""); refused != (log.Len() > 0) {
				t.Errorf("the log says %q", log.String())
			}
			if strings.Contains(log.String()+w.Body.String(), listenToken) {
				t.Errorf("the token is told: %s%s", log.String(), w.Body)
			}
			if challenge := w.Header().Get("WWW-Authenticate"); (w.Code == 401) != strings.HasPrefix(challenge, "Basic ") {
				t.Errorf("a browser is asked by %q", challenge)
			}
		})
	}
	t.Run("rotated", func(t *testing.T) {
		keep(listenToken + ", the next one")
		g := &guard{settings: &guarded, log: slog.New(slog.DiscardHandler), next: http.NotFoundHandler()}
		for token, want := range map[string]int{listenToken: 401, listenToken + ", the next one": 404} {
			r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
			r.Header.Set("Authorization", "Bearer "+token)
			if g.ServeHTTP(w, r); w.Code != want {
				t.Errorf("%q: status %d, want %d", token, w.Code, want)
			}
		}
	})
	t.Run("too short", func(t *testing.T) {
		keep("short")
		if _, err := guarded.ListenToken(); err == nil || !strings.Contains(err.Error(), "listen_token_file") {
			t.Errorf("it is taken: %v", err)
		}
	})
}

// TestListenTaken: the default address may be in use by another process. A configured address, or one that a setting
// depends on, may not.
func TestListenTaken(t *testing.T) {
	if l, err := net.Listen("tcp", settings.DefaultListen); err == nil { // else another process has the address
		defer l.Close()
	}
	var log bytes.Buffer
	d := &daemon{settings: &settings.Settings{}, log: slog.New(slog.NewTextHandler(&log, nil))}
	if l, err := d.listen(false); l != nil || err != nil || !strings.Contains(log.String(), "level=WARN") {
		t.Errorf("%v, %v, and the log says %q", l, err, log.String())
	}
	if _, err := d.listen(true); err == nil {
		t.Error("webhooks are not served, and nobody says so")
	}
	chosen := settings.DefaultListen
	d.settings.Listen = &chosen
	if _, err := d.listen(false); err == nil || !strings.Contains(err.Error(), "change listen in certroll.hcl") {
		t.Errorf("the address that was chosen is taken, and it says: %v", err)
	}
	none := ""
	d.settings.Listen = &none
	if l, err := d.listen(false); l != nil || err != nil {
		t.Errorf("%v, %v", l, err)
	}
}

// TestListenOpen: serving other machines without a token logs a warning.
func TestListenOpen(t *testing.T) {
	for name, tc := range map[string]struct {
		address string
		token   string
		warned  bool
	}{
		"to all":               {address: "0.0.0.0:0", warned: true},
		"to all, with a token": {address: "0.0.0.0:0", token: "TOKEN"},
		"to this machine":      {address: "127.0.0.1:0"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			d := &daemon{settings: &settings.Settings{Listen: &tc.address, ListenTokenEnv: tc.token}, log: slog.New(slog.NewTextHandler(&log, nil))}
			l, err := d.listen(false)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if warned := strings.Contains(log.String(), "listen_token_file"); warned != tc.warned {
				t.Errorf("the log says %q", log.String())
			}
		})
	}
}

// TestServerLog: errors from net/http are logged as lines in the configured format.
func TestServerLog(t *testing.T) {
	out := &buffer{}
	d := &daemon{settings: &settings.Settings{Listen: new(string)}, log: slog.New(slog.NewJSONHandler(out, nil)), metrics: metrics.New("v1.2.3"), files: &watch{}}
	*d.settings.Listen = "127.0.0.1:0"
	ctx, stop := context.WithCancel(t.Context())
	stopped, err := d.serve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	address := linesOf(t, out.String())[0].text("address")
	if resp, err := http.Get("http://" + address + "/"); err == nil { // there is no such page
		t.Errorf("it is answered with %s", resp.Status)
	}
	stop()
	<-stopped
	lines := linesOf(t, out.String())
	if last := lines[len(lines)-1]; last.text("msg") != "serving HTTP failed" || !strings.Contains(last.text("error"), "panic serving") {
		t.Errorf("the log says %v", last)
	}
}

// TestHealth checks the responses of /healthz and /readyz from the start on.
func TestHealth(t *testing.T) {
	h := newHealth(time.Minute)
	says := func(handler http.HandlerFunc, status int, words string) {
		t.Helper()
		w := httptest.NewRecorder()
		handler(w, httptest.NewRequest(http.MethodGet, "/", nil))
		if w.Code != status || !strings.Contains(w.Body.String(), words) {
			t.Errorf("status %d, %q; want %d, %q", w.Code, w.Body, status, words)
		}
	}
	says(h.alive, 200, "ok")
	says(h.ready, 503, "waiting for Vault")
	var down error
	asked := 0
	h.connected(func(context.Context) error { asked++; return down })
	says(h.ready, 503, "the first pass has not ended yet")
	h.passed(reconcile.Pass{Err: errors.New("a secret of Vault's")})
	says(h.ready, 503, "the last pass could not read")
	h.passed(reconcile.Pass{After: plan.Plan{Observed: &plan.Observed{}}})
	says(h.ready, 200, "ok")
	down = errors.New("sealed")
	says(h.ready, 200, "ok") // /readyz does not query Vault for each request
	h.askedAt = h.askedAt.Add(-reachEvery)
	says(h.ready, 503, "Vault does not answer")
	for vaultErr, words := range map[error]string{vaultError{sealed: true}: "Vault is sealed; unseal it", vaultError{}: "rejects certroll's token"} {
		h.answer = fmt.Errorf("looking: %w", vaultErr)
		says(h.ready, 503, words)
	}
	if asked != 2 {
		t.Errorf("Vault was asked %d times, want 2", asked)
	}
	says(h.alive, 200, "ok")
	h.turned = h.turned.Add(-h.patience - time.Second)
	says(h.alive, 503, "the loop has not moved for 1h33m")
	h.turn()
	says(h.alive, 200, "ok")
}

// vaultError is an error like those of package vault.
type vaultError struct{ sealed bool }

func (vaultError) Error() string     { return "words of Vault's" }
func (e vaultError) Sealed() bool    { return e.sealed }
func (e vaultError) DeadToken() bool { return !e.sealed }
