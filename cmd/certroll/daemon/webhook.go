package daemon

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
	"slices"
	"strings"
	"sync"
	"time"

	"certroll/cmd/certroll/settings"
	"certroll/gitsync"
	"certroll/spec/credential"
)

// warnOfSecrets warns about secrets that no request can carry: a header cannot contain a
// line break. They are no error, since webhooks and the page are not essential.
func warnOfSecrets(s *settings.Settings, log *slog.Logger) {
	warn := func(env, file string, secret string, err error) {
		where := "the environment variable " + env
		if file != "" {
			where = "the file " + file
		}
		if err = cmp.Or(err, credential.Check(where, secret, credential.Token)); err != nil {
			log.Warn("a shared secret is unusable; no request can match it", "error", err)
		}
	}
	for _, w := range s.Webhooks {
		secret, err := w.Secret()
		warn(w.SecretEnv, w.SecretFile, secret, err)
	}
	if token, err := s.ListenToken(); token != "" {
		warn(s.ListenTokenEnv, s.ListenTokenFile, token, err)
	}
}

// sameSecret compares in constant time. It compares hashes, so that the time does not
// reveal the length either.
func sameSecret(said, want string) bool {
	a, b := sha256.Sum256([]byte(said)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

const (
	// maxDelivery bounds a delivery, in bytes. A push of 2,048 commits, where GitHub
	// cuts the list off, is smaller.
	maxDelivery = 2 << 20
	// deliveryTime bounds the arrival of a delivery, header and body together, and of
	// any other request: see newServer.
	deliveryTime = 5 * time.Second
	// maxDeliveries bounds the deliveries read concurrently: 32 MiB together.
	maxDeliveries = 16
)

// proof checks that the sender of one kind of delivery knows the secret.
type proof struct {
	// possible checks the header alone, so that a delivery without a chance is rejected
	// before its body is read.
	possible func(h http.Header, secret string) bool
	sealed   func(h http.Header, body []byte, secret string) bool
}

// webhookKinds has each host's proof of the sender:
//   - GitHub: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
//   - GitLab: https://docs.gitlab.com/user/project/integrations/webhooks/ (the secret
//     itself, in a header)
//   - Gitea and Forgejo: https://docs.gitea.com/usage/webhooks,
//     https://forgejo.org/docs/latest/user/webhooks/
//   - generic: certroll's own, GitHub's under another header name
var webhookKinds = map[string]proof{
	"github":  hmacIn("X-Hub-Signature-256", "sha256="),
	"gitlab":  tokenIn("X-Gitlab-Token"),
	"gitea":   hmacIn("X-Gitea-Signature", ""),
	"forgejo": hmacIn("X-Forgejo-Signature", ""),
	"generic": hmacIn("X-Certroll-Signature", "sha256="),
}

// hmacIn is the proof by a hexadecimal HMAC-SHA256 of the body in a header.
func hmacIn(header, prefix string) proof {
	signature := func(h http.Header) ([]byte, bool) {
		hexed, ok := strings.CutPrefix(h.Get(header), prefix)
		said, err := hex.DecodeString(hexed)
		return said, ok && err == nil && len(said) == sha256.Size
	}
	return proof{
		possible: func(h http.Header, _ string) bool { _, ok := signature(h); return ok },
		sealed: func(h http.Header, body []byte, secret string) bool {
			said, ok := signature(h)
			mac := hmac.New(sha256.New, []byte(secret))
			_, _ = mac.Write(body) // never fails
			return ok && hmac.Equal(said, mac.Sum(nil))
		},
	}
}

// tokenIn is the proof by the secret itself in a header.
func tokenIn(header string) proof {
	right := func(h http.Header, secret string) bool { return sameSecret(h.Get(header), secret) }
	return proof{possible: right, sealed: func(h http.Header, _ []byte, secret string) bool { return right(h, secret) }}
}

// room bounds the deliveries being read. When it is full, the oldest is aborted: a
// genuine delivery arrives at once, so slow ones cannot keep it out.
type room struct {
	mu   sync.Mutex
	most int
	in   []*http.ResponseController // oldest first
}

// enter takes a place; leave returns it.
func (r *room) enter(c *http.ResponseController) (leave func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.in) >= r.most {
		_ = r.in[0].SetReadDeadline(time.Now()) // makes its read fail
		r.in = r.in[1:]
	}
	r.in = append(r.in, c)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.in = slices.DeleteFunc(r.in, func(one *http.ResponseController) bool { return one == c })
	}
}

// webhook receives deliveries of one kind and reports pushes to a branch.
type webhook struct {
	settings *settings.Webhook
	proof    proof
	ref      string // the branch or tag; "" for the remote's HEAD, whose name is unknown
	ledger   string // the ledger's branch, to which certroll itself pushes
	nudges   chan<- struct{}
	room     *room
	log      *slog.Logger
}

// ServeHTTP answers one delivery. A push of another ref gets the same answer as one of
// ours.
func (w *webhook) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	secret, err := w.settings.Secret()
	switch {
	case err != nil:
		w.log.Error("rejected a webhook delivery: its secret cannot be read", "error", err)
		http.Error(rw, "not set up", http.StatusServiceUnavailable)
		return
	case !w.proof.possible(req.Header, secret):
		w.refuse(rw, req)
		return
	case req.ContentLength > maxDelivery:
		http.Error(rw, "the delivery is larger than 2 MiB", http.StatusRequestEntityTooLarge)
		return
	}
	defer w.room.enter(http.NewResponseController(rw))()
	body, err := io.ReadAll(http.MaxBytesReader(rw, req.Body, maxDelivery))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		http.Error(rw, "the delivery is larger than 2 MiB", http.StatusRequestEntityTooLarge)
	case err != nil:
		http.Error(rw, "the delivery did not arrive within five seconds, or cannot be read", http.StatusBadRequest)
	case !w.proof.sealed(req.Header, body, secret):
		w.refuse(rw, req)
	case !w.concerns(body):
		rw.WriteHeader(http.StatusAccepted)
	default:
		w.log.Debug("a push was told", "kind", w.settings.Kind)
		select {
		case w.nudges <- struct{}{}:
		default: // a nudge is already pending
		}
		rw.WriteHeader(http.StatusAccepted)
	}
}

// refuse answers a delivery without proof, and logs it.
func (w *webhook) refuse(rw http.ResponseWriter, req *http.Request) {
	w.log.Warn("rejected a webhook delivery: wrong signature or token", "kind", w.settings.Kind, "from", req.RemoteAddr)
	rw.Header().Set("Connection", "close") // the rest of the body stays unread
	http.Error(rw, "the signature or token is not right", http.StatusForbidden)
}

// concerns reports whether a delivery may be a push to the branch. An unreadable one
// counts as such: a needless pull costs one listing of refs.
func (w *webhook) concerns(body []byte) bool {
	var push struct {
		Ref string `json:"ref"`
	}
	if json.Unmarshal(body, &push) != nil || push.Ref == "" {
		return true
	}
	return !isRef(push.Ref, w.ledger) && (w.ref == "" || isRef(push.Ref, w.ref))
}

// isRef reports whether a full ref matches a short name.
func isRef(ref, name string) bool {
	return ref == name || ref == "refs/heads/"+name || ref == "refs/tags/"+name
}

// webhooks returns the handlers of certroll.hcl's webhook blocks, by path.
func webhooks(s *settings.Settings, nudges chan<- struct{}, log *slog.Logger) (map[string]http.Handler, error) {
	handlers := map[string]http.Handler{}
	in := &room{most: maxDeliveries}
	for _, hook := range s.Webhooks {
		proof, ok := webhookKinds[hook.Kind]
		if !ok {
			return nil, fmt.Errorf("webhook %q in certroll.hcl: use github, gitlab, gitea, forgejo or generic", hook.Kind)
		}
		if _, err := hook.Secret(); err != nil {
			return nil, err
		}
		handlers["POST /webhooks/"+hook.Kind] = &webhook{
			settings: hook, proof: proof, ref: s.Repo.Ref, ledger: cmp.Or(s.Ledger.Branch, gitsync.DefaultBranch),
			nudges: nudges, room: in, log: log,
		}
	}
	if len(handlers) > 0 && s.ListenAddress() == "" {
		return nil, errors.New("there are webhook blocks in certroll.hcl, and its listen is empty: set it to the address on which they are served, or leave it out")
	}
	return handlers, nil
}
