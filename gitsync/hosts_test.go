package gitsync

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
	"certroll/gitsync/fault"
	"certroll/gitsync/remote"
)

// TestAzureDevOps imitates the known peculiarity of Azure DevOps: it answers 400 to a fetch without multi_ack. The rest
// is git's http-backend.
func TestAzureDevOps(t *testing.T) {
	t.Parallel()
	g := labtest.GitHTTP(t)
	for name, path := range map[string]string{"Azure DevOps": "org/project/_git/repo", "another host": "org/project/repo"} {
		t.Run(name, func(t *testing.T) {
			direct, err := g.Create(path)
			must(t, err)
			u, err := url.Parse(direct)
			must(t, err)
			asked := 0
			forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: u.Scheme, Host: u.Host})
			host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/git-upload-pack") && r.Method == http.MethodPost {
					body, err := io.ReadAll(r.Body)
					if err != nil {
						t.Error(err)
					}
					if asked++; !bytes.Contains(body, []byte("multi_ack")) {
						http.Error(w, "must support multi-ack", http.StatusBadRequest)
						return
					}
					r.Body = io.NopCloser(bytes.NewReader(body))
				}
				forward.ServeHTTP(w, r)
			}))
			t.Cleanup(host.Close)
			p := place{url: host.URL + u.Path, path: g.Path(path), auth: remote.Auth{Username: g.User, Token: g.Token}}
			p.push(t, "main", map[string]string{"a.hcl": "0"})
			s := p.source(t, SourceOptions{})
			if name != "Azure DevOps" {
				_, err := s.Fetch(t.Context())
				failure(t, err, fault.Failed, "400", "multi-ack")
				return
			}
			fetch(t, s)
			l := p.ledger(t, LedgerOptions{})
			for _, text := range []string{"1", "2", "3"} {
				p.push(t, "main", map[string]string{"a.hcl": text})
				was := asked
				if got := contents(fetch(t, s)); got != "a.hcl="+text {
					t.Errorf("got %s", got)
				}
				if asked != was+1 {
					t.Errorf("a fetch of what is new took %d requests: it began anew", asked-was)
				}
				commit(t, l, appendLine("log", text))
			}
			must(t, lab.Push(t.Context(), p.path, DefaultBranch, map[string]string{"by": "another"}, "Beside"))
			commit(t, l, appendLine("log", "4"))
			if got := p.git(t, "show", DefaultBranch+":log"); got != "1\n2\n3\n4" {
				t.Errorf("the ledger has %q", got)
			}
		})
	}
}

// TestAWebPageIsNoRepository: some hosts answer an expired token with a login page.
func TestAWebPageIsNoRepository(t *testing.T) {
	for name, c := range map[string]struct{ page, want string }{
		"a title":    {"<html><head><title>\n Sign in &middot; GitLab\n</title></head>", "it answered with a web page (Sign in \u00b7 GitLab)"},
		"none":       {"<html>", "it answered with a web page instead"},
		"a long one": {"<title>" + strings.Repeat("long ", 100) + "</title>", "(long long"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, status := range []int{http.StatusOK, http.StatusNonAuthoritativeInfo} {
				host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "text/html; charset=utf-8")
					w.WriteHeader(status)
					_, _ = io.WriteString(w, c.page)
				}))
				t.Cleanup(host.Close)
				p := place{url: host.URL + "/team/repo.git", auth: remote.Auth{Username: "u", Token: secret()}}
				_, err := p.source(t, SourceOptions{}).Fetch(t.Context())
				failure(t, err, fault.Denied, c.want, "check that the token is current")
				if len(err.Error()) > 500 || strings.Contains(err.Error(), "can be reached") {
					t.Errorf("got %v", err)
				}
				_, _, err = p.ledger(t, LedgerOptions{}).Snapshot(t.Context())
				failure(t, err, fault.Denied, c.want)
			}
		})
	}
}

// TestOtherHashes: the error names a SHA-256 repository as such over every transport.
func TestOtherHashes(t *testing.T) {
	g := labtest.GitHTTP(t)
	dir := g.Path("modern")
	_, err := lab.Git(t.Context(), "", "init", "--quiet", "--bare", "--object-format=sha256", "--initial-branch=main", dir)
	must(t, err)
	for _, branch := range []string{"main", DefaultBranch} {
		must(t, pushSHA256(t, dir, branch))
	}
	for name, p := range map[string]place{
		"http": {url: g.URL("modern"), path: dir, auth: remote.Auth{Username: g.User, Token: g.Token}},
		"file": {url: dir, path: dir},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := p.source(t, SourceOptions{}).Fetch(t.Context())
			if err == nil || !strings.Contains(err.Error(), "SHA256 object names") || strings.Contains(err.Error(), "can be reached") {
				t.Errorf("source: %v", err)
			}
			_, _, err = p.ledger(t, LedgerOptions{}).Snapshot(t.Context())
			if err == nil || !strings.Contains(err.Error(), "SHA256 object names") || strings.Contains(err.Error(), "can be reached") {
				t.Errorf("ledger: %v", err)
			}
		})
	}
}

// pushSHA256 commits an empty tree to a branch of a SHA-256 repository.
func pushSHA256(t *testing.T, dir, branch string) error {
	t.Helper()
	tree, err := lab.Git(t.Context(), dir, "hash-object", "-w", "-t", "tree", "/dev/null")
	if err != nil {
		return err
	}
	made, err := lab.Git(t.Context(), dir, "commit-tree", "-m", "one", tree)
	if err != nil {
		return err
	}
	_, err = lab.Git(t.Context(), dir, "update-ref", "refs/heads/"+branch, made)
	return err
}
