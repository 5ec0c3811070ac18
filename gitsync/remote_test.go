package gitsync

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"certroll/gitsync/fault"
	"certroll/gitsync/remote"
)

// both runs a test with the error of a source and with the error of a ledger.
func both(t *testing.T, p place, test func(t *testing.T, err error)) {
	t.Helper()
	t.Run("source", func(t *testing.T) {
		_, err := p.source(t, SourceOptions{}).Fetch(t.Context())
		test(t, err)
	})
	t.Run("snapshot", func(t *testing.T) {
		_, _, err := p.ledger(t, LedgerOptions{}).Snapshot(t.Context())
		test(t, err)
	})
	t.Run("commit", func(t *testing.T) {
		_, err := p.ledger(t, LedgerOptions{}).Commit(t.Context(), "m", write(map[string]string{"a": "x"}))
		test(t, err)
	})
}

func TestRepositoryNotFound(t *testing.T) {
	overAll(t, func(t *testing.T, p place) {
		p.url = strings.Replace(p.url, "repo", "absent", 1)
		both(t, p, func(t *testing.T, err error) {
			failure(t, err, fault.NotFound, "absent", "check the ")
		})
	})
}

// TestFileURL: file:// gives the same result as the path.
func TestFileURL(t *testing.T) {
	p := local(t)
	tip := p.push(t, "main", map[string]string{"a.hcl": "a"})
	p.url = "file://" + p.path
	if rev := fetch(t, p.source(t, SourceOptions{})); rev.Commit != tip || contents(rev) != "a.hcl=a" {
		t.Errorf("got %s at %s", contents(rev), rev.Commit)
	}
	head := commit(t, p.ledger(t, LedgerOptions{}), appendLine("log", "one"))
	if got := p.git(t, "rev-parse", "certroll/status"); got != head {
		t.Errorf("the branch is at %s, Commit said %s", got, head)
	}
}

func TestWrongToken(t *testing.T) {
	p := transports["http"](t)
	for name, token := range map[string]string{"wrong": secret(), "none": ""} {
		t.Run(name, func(t *testing.T) {
			p := p
			p.auth.Token = token
			both(t, p, func(t *testing.T, err error) {
				failure(t, err, fault.Denied, p.url, "check that the token is current")
				if token != "" && strings.Contains(err.Error(), token) {
					t.Errorf("the token is shown: %v", err)
				}
			})
		})
	}
}

// TestTokenInURL: a URL may contain a token, and no message shows it.
func TestTokenInURL(t *testing.T) {
	p := transports["http"](t)
	p.push(t, "main", map[string]string{"a.hcl": "a"})
	good, bad := p, p
	good.url = strings.Replace(p.url, "http://", "http://"+p.auth.Username+":"+p.auth.Token+"@", 1)
	good.auth = remote.Auth{}
	if got := contents(fetch(t, good.source(t, SourceOptions{}))); got != "a.hcl=a" {
		t.Errorf("got %s", got)
	}
	token := secret()
	bad.url = strings.Replace(p.url, "http://", "http://lab:"+token+"@", 1)
	bad.auth = remote.Auth{}
	both(t, bad, func(t *testing.T, err error) {
		failure(t, err, fault.Denied, p.url)
		if strings.Contains(err.Error(), token) {
			t.Errorf("the token is shown: %v", err)
		}
	})
}

// TestServerEchoesToken: a server's error text can contain the request, token included.
func TestServerEchoesToken(t *testing.T) {
	token := secret()
	for name, status := range map[string]int{"400": 400, "401": 401, "403": 403, "404": 404, "500": 500, "503": 503} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, password, _ := r.BasicAuth()
				http.Error(w, "you sent "+password+" in\n"+r.Header.Get("Authorization"), status)
			}))
			defer server.Close()
			both(t, place{url: server.URL + "/repo.git", auth: remote.Auth{Token: token}}, func(t *testing.T, err error) {
				failure(t, err, map[int]fault.Kind{400: fault.Failed, 401: fault.Denied, 403: fault.Denied, 404: fault.NotFound, 500: fault.Unreachable, 503: fault.Unreachable}[status], server.URL)
				encoded := sentForms("git", token)
				for cause := err; cause != nil; cause = errors.Unwrap(cause) {
					for _, s := range encoded {
						if strings.Contains(cause.Error(), s) {
							t.Errorf("a secret is shown: %v", cause)
						}
					}
				}
			})
		})
	}
}

// TestRedirectKeepsToken: certroll sends a token only to the host that it is configured for.
func TestRedirectKeepsToken(t *testing.T) {
	p := transports["http"](t)
	p.push(t, "main", map[string]string{"a.hcl": "a"})
	var seen string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen += r.Header.Get("Authorization")
		http.Error(w, "who are you", http.StatusUnauthorized)
	}))
	defer elsewhere.Close()
	here := httptest.NewServer(http.RedirectHandler(elsewhere.URL+"/repo.git/info/refs?service=git-upload-pack", http.StatusFound))
	defer here.Close()
	p.url = here.URL + "/repo.git"
	_, err := p.source(t, SourceOptions{}).Fetch(t.Context())
	if err == nil || seen != "" {
		t.Errorf("the other host was sent %q; %v", seen, err)
	}
}

func TestUnreachable(t *testing.T) {
	const addr = "127.0.0.1:1" // another process can take a port that was free a moment ago
	key := newKey(t)
	for name, p := range map[string]place{
		"http":  {url: "http://" + addr + "/repo.git"},
		"https": {url: "https://" + addr + "/repo.git"},
		"ssh":   {url: "ssh://git@" + addr + "/repo.git", auth: remote.Auth{SSHKeyFile: key}},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, p, func(t *testing.T, err error) {
				failure(t, err, fault.Unreachable, "connection refused", "check that "+addr+" can be reached")
				var temporary interface{ Temporary() bool }
				if !errors.As(err, &temporary) || !temporary.Temporary() {
					t.Error("it does not count as temporary")
				}
			})
		})
	}
}

func TestUntrustedCertificate(t *testing.T) {
	p := newProxy(t)
	p.auth.CABundle = ""
	both(t, p.place, func(t *testing.T, err error) {
		failure(t, err, fault.Unreachable, "certificate", "ca_bundle of the auth block")
	})
	p.auth.CABundle = "no PEM"
	_, err := OpenSource(SourceOptions{URL: p.url, Auth: p.auth})
	failure(t, err, fault.Invalid, "it holds no PEM certificate")
}
