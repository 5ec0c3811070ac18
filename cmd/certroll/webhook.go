package main

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"certroll/gitsync"
)

// webhookSettings are a webhook block of certroll.hcl: who may tell that there
// was a push.
type webhookSettings struct {
	Kind       string `hcl:"kind,label"`
	SecretEnv  string `hcl:"secret_env,optional"`
	SecretFile string `hcl:"secret_file,optional"`
}

// secret is read at each delivery, so that it can be rotated under a running
// process.
func (w *webhookSettings) secret() (string, error) {
	return sharedSecret(fmt.Sprintf("the secret of the webhook %q", w.Kind), "secret", w.SecretEnv, w.SecretFile)
}

// sharedSecret reads what somebody has to show: from a file, else from the
// environment. setting is its name in certroll.hcl, less _env and _file.
func sharedSecret(what, setting, env, file string) (string, error) {
	secret := os.Getenv(env)
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("reading %s: %w", what, err)
		}
		secret = strings.TrimSpace(string(b))
	}
	if len(secret) < leastSecret {
		return "", fmt.Errorf("%s is not set or has fewer than %d characters: set %s_env or %s_file in certroll.hcl to where a long random one is", what, leastSecret, setting, setting)
	}
	return secret, nil
}

// sameSecret compares in constant time; hashed, so that not even the length
// can be measured.
func sameSecret(said, want string) bool {
	a, b := sha256.Sum256([]byte(said)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

const (
	leastSecret = 16
	// maxDelivery bounds a delivery. Hosts send up to 25 MB and cut commits off
	// long before.
	maxDelivery = 25 << 20
	// maxDeliveries are read at the same time.
	maxDeliveries = 4
)

// sealed tells whether a delivery carries proof of the secret.
type sealed func(h http.Header, body []byte, secret string) bool

// webhookKinds are the hosts' ways to prove who sends:
//   - GitHub: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
//   - GitLab: https://docs.gitlab.com/user/project/integrations/webhooks/ (the
//     secret itself, in a header)
//   - Gitea and Forgejo: https://docs.gitea.com/usage/webhooks,
//     https://forgejo.org/docs/latest/user/webhooks/
//   - generic: ours, the same as GitHub's under another name
var webhookKinds = map[string]sealed{
	"github":  hmacIn("X-Hub-Signature-256", "sha256="),
	"gitlab":  tokenIn("X-Gitlab-Token"),
	"gitea":   hmacIn("X-Gitea-Signature", ""),
	"forgejo": hmacIn("X-Forgejo-Signature", ""),
	"generic": hmacIn("X-Certroll-Signature", "sha256="),
}

func hmacIn(header, prefix string) sealed {
	return func(h http.Header, body []byte, secret string) bool {
		hexed, ok := strings.CutPrefix(h.Get(header), prefix)
		said, err := hex.DecodeString(hexed)
		mac := hmac.New(sha256.New, []byte(secret))
		_, _ = mac.Write(body) // a hash takes all
		return ok && err == nil && hmac.Equal(said, mac.Sum(nil))
	}
}

func tokenIn(header string) sealed {
	return func(h http.Header, _ []byte, secret string) bool {
		return sameSecret(h.Get(header), secret)
	}
}

// webhook takes deliveries of one kind and tells of pushes to a branch.
type webhook struct {
	settings *webhookSettings
	sealed   sealed
	ref      string // the branch or tag, "" for the remote's HEAD, which may be any
	ledger   string // the ledger's branch, whose pushes are our own
	told     chan<- struct{}
	room     chan struct{}
	log      *slog.Logger
}

func (w *webhook) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	select {
	case w.room <- struct{}{}:
		defer func() { <-w.room }()
	default:
		http.Error(rw, "busy", http.StatusServiceUnavailable)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(rw, req.Body, maxDelivery))
	if err != nil {
		http.Error(rw, "the delivery cannot be read", http.StatusBadRequest)
		return
	}
	secret, err := w.settings.secret()
	switch {
	case err != nil:
		w.log.Error("a webhook delivery was refused", "error", err)
		http.Error(rw, "not set up", http.StatusServiceUnavailable)
	case !w.sealed(req.Header, body, secret):
		w.log.Warn("a webhook delivery was refused: its signature or token is not that of the secret", "kind", w.settings.Kind, "from", req.RemoteAddr)
		http.Error(rw, "the signature or token is not right", http.StatusForbidden)
	case !w.concerns(body):
		rw.WriteHeader(http.StatusAccepted)
	default:
		w.log.Debug("a push was told", "kind", w.settings.Kind)
		select {
		case w.told <- struct{}{}:
		default: // it is told already
		}
		rw.WriteHeader(http.StatusAccepted)
	}
}

// concerns tells whether the delivery may be of a push to the branch. What
// cannot be read is looked into: a pull too many costs one listing of refs.
func (w *webhook) concerns(body []byte) bool {
	var push struct {
		Ref string `json:"ref"`
	}
	if json.Unmarshal(body, &push) != nil || push.Ref == "" {
		return true
	}
	return !isRef(push.Ref, w.ledger) && (w.ref == "" || isRef(push.Ref, w.ref))
}

// isRef tells whether a full ref is what a name stands for.
func isRef(ref, name string) bool {
	return ref == name || ref == "refs/heads/"+name || ref == "refs/tags/"+name
}

// webhooks are the handlers of certroll.hcl's webhook blocks, by path.
func (d *daemon) webhooks(told chan<- struct{}) (map[string]http.Handler, error) {
	handlers := map[string]http.Handler{}
	room := make(chan struct{}, maxDeliveries)
	for _, s := range d.settings.Webhooks {
		sealed, ok := webhookKinds[s.Kind]
		if !ok {
			return nil, fmt.Errorf("webhook %q in certroll.hcl: use github, gitlab, gitea, forgejo or generic", s.Kind)
		}
		if _, err := s.secret(); err != nil {
			return nil, err
		}
		handlers["POST /webhooks/"+s.Kind] = &webhook{
			settings: s, sealed: sealed, ref: d.settings.Repo.Ref, ledger: cmp.Or(d.settings.Ledger.Branch, gitsync.DefaultBranch),
			told: told, room: room, log: d.log,
		}
	}
	if len(handlers) > 0 && d.settings.listenAddress() == "" {
		return nil, errors.New("there are webhook blocks in certroll.hcl, and its listen is empty: set it to the address on which they are served, or leave it out")
	}
	return handlers, nil
}
