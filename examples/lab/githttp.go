package lab

import (
	"bytes"
	"context"
	"crypto/subtle"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// GitHTTP serves the bare repositories of one directory with git's own http-backend,
// behind HTTP basic authentication.
type GitHTTP struct {
	Dir      string // the repositories' directory
	User     string
	Token    string // the password until Rotate, like a forge's access token
	now      atomic.Value
	listener net.Listener
	server   *http.Server
	done     chan struct{}
}

// StartGitHTTP serves the bare repositories in dir.
func StartGitHTTP(ctx context.Context, dir string) (*GitHTTP, error) {
	execPath, err := Git(ctx, "", "--exec-path")
	if err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serving Git over HTTP: %w", err)
	}
	g := &GitHTTP{Dir: dir, User: "lab", Token: random("lab-token-"), listener: listener, done: make(chan struct{})}
	backend := &cgi.Handler{
		Path: filepath.Join(execPath, "git-http-backend"),
		Env:  append(gitEnv(), "GIT_PROJECT_ROOT="+dir, "GIT_HTTP_EXPORT_ALL=1"),
		// cgi passes on the PATH only if it is listed.
		InheritEnv: []string{"PATH"},
	}
	g.server = &http.Server{Handler: g.guard(withLength(backend))}
	go func() {
		defer close(g.done)
		_ = g.server.Serve(listener) // returns ErrServerClosed
	}()
	return g, nil
}

// Rotate replaces the token. The server rejects the old one from then on.
func (g *GitHTTP) Rotate() string {
	token := random("lab-token-")
	g.now.Store(token)
	return token
}

func (g *GitHTTP) token() string {
	if token, ok := g.now.Load().(string); ok {
		return token
	}
	return g.Token
}

// guard rejects requests without the user and token.
func (g *GitHTTP) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, token, _ := r.BasicAuth()
		if user != g.User || subtle.ConstantTimeCompare([]byte(token), []byte(g.token())) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
			http.Error(w, "authentication required", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// withLength reads the whole body first: CGI needs its length beforehand, and git sends
// large packs in chunks, without a length.
func withLength(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength < 0 {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
		}
		next.ServeHTTP(w, r)
	})
}

// Create creates a bare repository and returns its URL.
func (g *GitHTTP) Create(name string) (string, error) {
	_, err := CreateBare(g.Dir, name)
	return g.URL(name), err
}

// URL returns the URL of a repository, without user and token.
func (g *GitHTTP) URL(repo string) string {
	return "http://" + g.listener.Addr().String() + "/" + strings.TrimSuffix(repo, ".git") + ".git"
}

// AuthURL returns the URL with user and token, for git's command line and for Push.
func (g *GitHTTP) AuthURL(repo string) string {
	u, err := url.Parse(g.URL(repo))
	if err != nil {
		return g.URL(repo)
	}
	u.User = url.UserPassword(g.User, g.token())
	return u.String()
}

// Path returns the repository's path on disk.
func (g *GitHTTP) Path(repo string) string { return barePath(g.Dir, repo) }

func barePath(dir, repo string) string {
	return filepath.Join(dir, strings.TrimSuffix(repo, ".git")+".git")
}

// Close stops the server and aborts open requests.
func (g *GitHTTP) Close() error {
	err := g.server.Close()
	<-g.done
	return err
}
