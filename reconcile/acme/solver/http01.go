package solver

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"certroll/reconcile/acme/problem"
	"certroll/spec"
)

// wellKnown is the path of http-01 answers (RFC 8555 section 8.3).
const wellKnown = "/.well-known/acme-challenge/"

// viaHTTP answers http-01 challenges with a listener, or with files in the webroot of a
// running web server.
func (s *solving) viaHTTP(ctx context.Context, account *spec.DNSAccount, challenges []challenge) error {
	s.Report("http", "answering at "+wellKnown+" for "+challenges[0].name())
	if account.Webroot != "" {
		return s.viaWebroot(ctx, account, challenges)
	}
	l, leave, err := s.Solver.servers.use(ctx, spec.HTTP01, account.Listen, serveHTTP)
	if err != nil {
		return listenFailure(account, err)
	}
	defer leave()
	for _, ch := range challenges {
		defer put(l, l.answers, ch.token, ch.keyAuth)()
	}
	return s.askAll(ctx, challenges)
}

func serveHTTP(l *listening, ln net.Listener) (stop func()) {
	server := &http.Server{ReadTimeout: connTimeout, WriteTimeout: connTimeout, MaxHeaderBytes: 16 << 10, Handler: l}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(ln) }) // ends with ErrServerClosed
	return func() {
		_ = server.Close()
		serving.Wait()
	}
}

// ServeHTTP serves the tokens of pending challenges and nothing else.
func (l *listening) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, ok := strings.CutPrefix(r.URL.Path, wellKnown)
	answer, known := l.answer(token)
	if !ok || !known || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = io.WriteString(w, answer)
}

// viaWebroot answers http-01 challenges with files in the webroot, and removes them
// after the CA's decision.
func (s *solving) viaWebroot(ctx context.Context, account *spec.DNSAccount, challenges []challenge) error {
	for _, ch := range challenges {
		remove, err := s.Solver.webroots.write(account.Webroot, ch.token, ch.keyAuth)
		if err != nil {
			return problem.NotPublished{Why: problem.Config("writing below the webroot of the DNS account "+account.Name, err.Error(),
				"give the dns block a webroot that exists and may be written to")}
		}
		defer func() {
			if err := remove(); err != nil {
				s.Report("cleanup", "an answer could not be removed from the webroot of the DNS account "+account.Name+": "+err.Error())
			}
		}()
	}
	return s.askAll(ctx, challenges)
}

// webroots writes answers into web servers' directories. It creates missing directories
// and removes them once they are empty.
type webroots struct {
	mu   sync.Mutex // prevents removal of a directory between its creation and its use
	made map[string]bool
}

func newWebroots() *webroots { return &webroots{made: map[string]bool{}} }

// write writes an answer file. The caller has checked with ca.TokenSafe that the token
// is a plain file name.
func (w *webroots) write(root, token, answer string) (remove func() error, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	dir := filepath.Join(root, filepath.FromSlash(wellKnown))
	if err := w.makeDirs(filepath.Dir(dir), dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, token)
	if err := os.WriteFile(path, []byte(answer), 0o644); err != nil {
		return nil, err
	}
	remove = func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		err := os.Remove(path)
		w.removeDirs(dir, filepath.Dir(dir))
		return err
	}
	// Another user runs the web server, so the umask must not apply.
	return remove, os.Chmod(path, 0o644)
}

// makeDirs creates missing directories and remembers them for removal. It sets their
// mode explicitly, since the umask may hide them from the web server.
func (w *webroots) makeDirs(dirs ...string) error {
	for _, dir := range dirs {
		err := os.Mkdir(dir, 0o755)
		switch {
		case err == nil:
			w.made[dir] = true
			if err := os.Chmod(dir, 0o755); err != nil {
				return err
			}
		case !os.IsExist(err):
			return err
		}
	}
	return nil
}

// removeDirs removes empty directories that this process created.
func (w *webroots) removeDirs(dirs ...string) {
	for _, dir := range dirs {
		if w.made[dir] && os.Remove(dir) == nil {
			delete(w.made, dir)
		}
	}
}
