package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
)

const (
	consumers = "../../examples/consumers/"
	atApp     = "127.0.0.1:8080"
	atVault   = "https://vault.example.com:8200"
)

// TestConsumers: the machines in examples/consumers switch to the next certificate under load, with the real programs
// and only the policy examples/vault-policies/consumer.hcl.
func TestConsumers(t *testing.T) {
	t.Parallel()
	labtest.Needs(t, "vault", "nginx", "haproxy", "consul-template")
	l := newLab(t)
	labtest.NeedsPolicies(t, l.vault)
	w := l.fresh(t, map[string]string{"certs.hcl": twoCertificates + `
certificate "web" {
  domains = ["web.lab.test"]
  issuer  = issuer.pebble
  dns     = dns.lab
  vault {
    fields = "kubernetes"
  }
}
`})
	w.settings("")
	w.certroll(0, "apply", "-auto-approve")
	w.appRole()
	for name, test := range map[string]func(*world){"nginx": nginxByAgent, "HAProxy": haproxyByTemplate, "operators": operators} {
		t.Run(name, func(t *testing.T) { test(w.as(t)) })
	}
}

// as returns the same world for a subtest.
func (w world) as(t *testing.T) *world {
	w.t, w.env = t, slices.Clone(w.env)
	return &w
}

// appRole creates a login for consumers of the certificate "api".
func (w *world) appRole() {
	w.t.Helper()
	rules, err := os.ReadFile("../../examples/vault-policies/consumer.hcl")
	if err == nil {
		err = w.vault.WritePolicy(w.t.Context(), "consumer-api", string(rules))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.api(http.MethodPost, "sys/auth/approle", map[string]any{"type": "approle"}, nil)
	w.api(http.MethodPost, "auth/approle/role/api", map[string]any{"token_policies": []string{"consumer-api"}, "token_ttl": "1h"}, nil)
}

func (w *world) api(method, path string, in, out any) {
	w.t.Helper()
	if err := w.vault.API(w.t.Context(), method, path, in, out); err != nil {
		w.t.Fatal(err)
	}
}

// consumer is a machine; its directory stands for the root of its disk.
type consumer struct {
	*world
	root, addr string // the address that it serves
	app        *application
	env        []string
}

// newConsumer writes the login for Vault Agent, and a systemctl that controls one service like systemd.
func (w *world) newConsumer(t *testing.T, reload string) *consumer {
	t.Helper()
	m := &consumer{world: w, root: t.TempDir(), addr: labtest.Addr(t), app: newApplication(t)}
	m.env = []string{"PATH=" + m.root + "/bin:" + os.Getenv("PATH")}
	var role, secret struct {
		Data struct {
			RoleID   string `json:"role_id"`
			SecretID string `json:"secret_id"`
		} `json:"data"`
	}
	w.api(http.MethodGet, "auth/approle/role/api/role-id", nil, &role)
	w.api(http.MethodPost, "auth/approle/role/api/secret-id", nil, &secret)
	m.write("etc/vault-agent/role-id", role.Data.RoleID)
	m.write("etc/vault-agent/secret-id", secret.Data.SecretID)
	m.write("run/here", "")
	// A service that has not started yet reads the files when it starts.
	m.write("bin/systemctl", "#!/bin/sh\nset -eu\nTLS="+m.root+"\n[ \"$1\" = reload-or-restart ]\n[ -s "+m.root+"/run/pid ] || exit 0\n"+reload+"\n")
	return m
}

func (m *consumer) path(name string) string { return filepath.Join(m.root, name) }

func (m *consumer) write(name, text string) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(name)), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := lab.WriteProgram(m.path(name), []byte(text)); err != nil {
		m.t.Fatal(err)
	}
}

// install copies an example to its place. It replaces the parts that differ on this machine, which must exist, and
// changes nothing else.
func (m *consumer) install(example, name string, replace ...string) string {
	m.t.Helper()
	b, err := os.ReadFile(consumers + example)
	if err != nil {
		m.t.Fatal(err)
	}
	text := string(b)
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			m.t.Fatalf("%s does not hold %q", example, replace[i])
		}
		text = strings.ReplaceAll(text, replace[i], replace[i+1])
	}
	m.write(name, text)
	return m.path(name)
}

// run starts a program on the machine.
func (m *consumer) run(program string, args ...string) *lab.Process {
	m.t.Helper()
	p := labtest.Program(m.t, m.root, m.env, program, args...)
	m.t.Cleanup(func() { m.noSecrets(p.Logs()) })
	return p
}

// appears waits until a file exists.
func (m *consumer) appears(name string) {
	m.t.Helper()
	m.until(name, &output{}, func() bool { info, err := os.Stat(m.path(name)); return err == nil && info.Size() > 0 })
}

// rollsOver rotates the certificate under load. No request and no handshake fails, all new connections soon get the new
// leaf, and the certificate and key from pair match at every moment.
func (m *consumer) rollsOver(t *testing.T, method string, pair func() (tls.Certificate, error)) {
	t.Helper()
	before := m.checkPair("tls/api", "api.lab.test", "www.lab.test").SerialNumber.String()
	seen := m.watch(t, pair)
	c := m.busy(m.addr, method)
	m.until("requests before the rotation", &output{}, func() bool { serials, reused := c.opened(); return len(serials) > 20 && reused > 20 })
	held := m.hold(m.addr, m.app)

	m.certroll(0, "rotate", "api", "-reason", "drill "+t.Name(), "-force", "-author", owner)
	m.certroll(0, "apply", "-auto-approve")
	after := m.checkPair("tls/api", "api.lab.test", "www.lab.test").SerialNumber.String()
	m.until("the new leaf", &output{}, func() bool {
		serials, _ := c.opened()
		n := len(serials)
		return n > 40 && !slices.ContainsFunc(serials[n-20:], func(s string) bool { return s != after })
	})
	select {
	case err := <-held:
		t.Errorf("the request that was to be held ended too soon: %v", err)
	default:
		close(m.app.letGo)
		if err := <-held; err != nil {
			t.Errorf("the request that was held over the reload: %v", err)
		}
	}
	c.unharmed(t)
	serials, reused := c.opened()
	t.Logf("%d handshakes and %d requests on kept connections", len(serials), reused)
	if !slices.Contains(serials, before) || slices.ContainsFunc(serials, func(s string) bool { return s != before && s != after }) {
		t.Errorf("new connections were given %v, want %s and then %s", slices.Compact(serials), before, after)
	}
	if got := seen(); !slices.Equal(got, []string{before, after}) {
		t.Errorf("the pairs on the disk were %v, want %s and then %s", got, before, after)
	}
}

// watch reads the pair repeatedly, like a program that may start at any moment. A mismatch is an error. The returned
// function ends it and returns the serials.
func (m *consumer) watch(t *testing.T, pair func() (tls.Certificate, error)) func() []string {
	ctx, stop := context.WithCancel(t.Context())
	var serials []string
	var reading sync.WaitGroup
	reading.Go(func() {
		for ctx.Err() == nil {
			p, err := pair()
			if err != nil {
				t.Errorf("a pair that does not match: %v", err)
				return
			}
			serials = slices.Compact(append(serials, p.Leaf.SerialNumber.String()))
		}
	})
	end := func() []string { stop(); reading.Wait(); return serials }
	t.Cleanup(func() { end() }) // ends before the directory is removed
	return end
}

// bundle returns a reader of the pair in one file.
func (m *consumer) bundle(name string) func() (tls.Certificate, error) {
	return func() (tls.Certificate, error) {
		b, err := os.ReadFile(m.path(name))
		if err != nil {
			return tls.Certificate{}, err
		}
		return tls.X509KeyPair(b, b)
	}
}

const nginxConf = `
user %s;
worker_processes 1;
pid %[2]s/run/pid;
error_log stderr notice;
daemon off;
events { }
http {
  access_log off;
  client_body_temp_path %[2]s/run/body;
  proxy_temp_path       %[2]s/run/proxy;
  fastcgi_temp_path     %[2]s/run/fastcgi;
  uwsgi_temp_path       %[2]s/run/uwsgi;
  scgi_temp_path        %[2]s/run/scgi;
  include %[2]s/etc/nginx/site.conf;
}
`

// nginxByAgent: Vault Agent renders one file and reloads nginx. A second template of the same Agent serves a program
// that needs two files.
func nginxByAgent(w *world) {
	t := w.t.(*testing.T)
	m := w.newConsumer(t, `case $2 in
nginx) exec nginx -e stderr -c $TLS/etc/nginx/nginx.conf -s reload ;;
postgresql) echo reloaded >>$TLS/run/postgresql ;;
esac`)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	m.env[0] += ":/usr/sbin"
	m.write("etc/nginx/nginx.conf", fmt.Sprintf(nginxConf, me.Username, m.root))
	m.install("nginx/site.conf", "etc/nginx/site.conf", "443", m.addr, "api.example.com", "api.lab.test", "/etc/", m.path("etc")+"/", atApp, m.app.Listener.Addr().String())
	agent := m.install("nginx/agent.hcl", "agent.hcl", atVault, w.vaultAddr, `"/etc/`, `"`+m.path("etc")+"/", `= "1m"`, `= "1s"`)
	two := m.install("two-files.hcl", "two-files.hcl", "/etc/postgresql/", m.path("etc/postgresql")+"/")

	m.run("vault", "agent", "-config="+agent, "-config="+two)
	m.appears("etc/nginx/tls/api.pem")
	if info, err := os.Stat(m.path("etc/nginx/tls/api.pem")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file with the key: %v, %v", info.Mode(), err)
	}
	m.appears("etc/postgresql/tls/current/key.pem")
	nginx := m.run("nginx", "-e", "stderr", "-c", m.path("etc/nginx/nginx.conf"))
	m.appears("run/pid")
	seen := m.watch(t, m.linked("etc/postgresql/tls/current"))
	m.rollsOver(t, http.MethodGet, m.bundle("etc/nginx/tls/api.pem"))

	serial := w.checkPair("tls/api", "api.lab.test", "www.lab.test").SerialNumber.String()
	m.until("the link's move", &output{}, func() bool {
		p, err := m.linked("etc/postgresql/tls/current")()
		return err == nil && p.Leaf.SerialNumber.String() == serial
	})
	if serials := seen(); len(serials) > 2 {
		t.Errorf("the pairs below the link were %v", serials)
	}
	if strings.Contains(nginx.Logs(), "[emerg]") {
		t.Errorf("nginx refused something:\n%s", nginx.Logs())
	}
	w.mismatchIsSeen(m)
	w.refusalIsSeen(t)
}

// linked returns a reader of the pair in the directory behind a symbolic link, which it resolves once.
func (m *consumer) linked(name string) func() (tls.Certificate, error) {
	return func() (tls.Certificate, error) {
		to, err := filepath.EvalSymlinks(m.path(name))
		if err != nil {
			return tls.Certificate{}, err
		}
		return tls.LoadX509KeyPair(to+"/cert.pem", to+"/key.pem")
	}
}

// mismatchIsSeen: the test and nginx both detect a new certificate next to the old key, as two separately written files
// would be for a moment.
func (w *world) mismatchIsSeen(m *consumer) {
	w.t.Helper()
	var old struct {
		Data struct {
			Data map[string]string `json:"data"`
		} `json:"data"`
	}
	w.api(http.MethodGet, "secret/data/tls/api?version=1", nil, &old)
	m.write("etc/nginx/tls/mixed.pem", old.Data.Data["private_key"]+w.secret("tls/api")["fullchain"])
	if _, err := m.bundle("etc/nginx/tls/mixed.pem")(); err == nil {
		w.t.Error("a pair of two versions passes for one")
	}
	m.install("nginx/site.conf", "etc/nginx/site.conf", "443", m.addr, "/etc/nginx/tls/api.pem", m.path("etc/nginx/tls/mixed.pem"))
	test := m.run("nginx", "-e", "stderr", "-t", "-c", m.path("etc/nginx/nginx.conf"))
	<-test.Done()
	if !strings.Contains(test.Logs(), "key values mismatch") {
		w.t.Errorf("nginx says\n%s", test.Logs())
	}
}

// refusalIsSeen: a failed reload ends the Agent, and its log contains the command.
func (w *world) refusalIsSeen(t *testing.T) {
	m := w.newConsumer(t, "exit 1")
	m.write("run/pid", "1")
	agent := m.run("vault", "agent", "-config="+m.install("nginx/agent.hcl", "agent.hcl", atVault, w.vaultAddr, `"/etc/`, `"`+m.path("etc")+"/"))
	select {
	case <-agent.Done():
	case <-time.After(30 * time.Second):
		t.Error("the Agent goes on")
	}
	if !strings.Contains(agent.Logs(), "systemctl reload-or-restart nginx") {
		t.Errorf("the Agent says\n%s", agent.Logs())
	}
}

// haproxyByTemplate: Vault Agent logs in, consul-template renders the file and reloads HAProxy, and the token can do
// nothing else.
func haproxyByTemplate(w *world) {
	t := w.t.(*testing.T)
	// The commands are those of Debian's unit.
	m := w.newConsumer(t, `/usr/sbin/haproxy -q -c -f $TLS/etc/haproxy/haproxy.cfg
kill -USR2 "$(cat $TLS/run/pid)"`)
	m.install("haproxy/haproxy.cfg", "etc/haproxy/haproxy.cfg", ":443", m.addr, "/etc/", m.path("etc")+"/", atApp, m.app.Listener.Addr().String())
	agent := m.install("haproxy/agent.hcl", "agent.hcl", atVault, w.vaultAddr, `"/etc/`, `"`+m.path("etc")+"/", `"/run/vault-agent/`, `"`+m.path("run")+"/")
	template := m.install("haproxy/consul-template.hcl", "consul-template.hcl", atVault, w.vaultAddr, `"/etc/`, `"`+m.path("etc")+"/",
		`"/run/vault-agent/`, `"`+m.path("run")+"/", `= "1m"`, `= "1s"`)

	m.run("vault", "agent", "-config="+agent)
	m.appears("run/token")
	m.run("consul-template", "-config="+template)
	m.appears("etc/haproxy/certs/api.pem")
	m.run("haproxy", "-W", "-p", m.path("run/pid"), "-f", m.path("etc/haproxy/haproxy.cfg"))
	m.appears("run/pid")
	m.until("HAProxy's answer", &output{}, func() bool {
		conn, err := tls.Dial("tcp", m.addr, w.trusting("api.lab.test"))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	m.rollsOver(t, http.MethodPost, m.bundle("etc/haproxy/certs/api.pem"))

	token, err := os.ReadFile(m.path("run/token"))
	if err != nil {
		t.Fatal(err)
	}
	w.readsOnly(string(token), "secret/data/tls/api")
}

// readsOnly: a consumer's token can read one secret and nothing else.
func (w *world) readsOnly(token, path string) {
	w.t.Helper()
	as := *w.vault
	as.Token = token
	for method, paths := range map[string][]string{
		http.MethodGet: {path, "secret/metadata/tls/api", "secret/metadata/tls?list=true", "secret/data/tls/wild", "secret/data/tls/web",
			"secret/metadata/certroll/accounts?list=true", "secret/data/certroll/lease", "secret/data/dns/lab"},
		http.MethodPost: {path}, http.MethodDelete: {path},
	} {
		for _, p := range paths {
			err := as.API(w.t.Context(), method, p, nil, nil)
			if method == http.MethodGet && p == path {
				if err != nil {
					w.t.Error(err)
				}
			} else if err == nil || !strings.Contains(err.Error(), "403 Forbidden") {
				w.t.Errorf("%s %s: %v, want a refusal", method, p, err)
			}
		}
	}
}
