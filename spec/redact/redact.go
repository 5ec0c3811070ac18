package redact

import (
	"bytes"
	"cmp"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Struck replaces a secret.
const Struck = "[redacted]"

// Shortest is the shortest secret in bytes. Striking shorter values would remove ordinary
// words from every message.
const Shortest = 4

// mostSecrets bounds the secrets of a Redactor. A process that runs for months sees many
// rotated tokens; the oldest ones are invalid by then.
const mostSecrets = 2000

// Redactor strikes known secrets, and everything that Tokens recognizes. The zero value
// knows no secret. A Redactor is safe for concurrent use.
type Redactor struct {
	mu      sync.RWMutex
	secrets []string                    // oldest first, without duplicates
	needles map[[Shortest]byte][]needle // by their first bytes, so that Strike looks up candidates
}

// New returns a Redactor for the secrets.
func New(secrets ...string) *Redactor {
	r := &Redactor{}
	r.Add(secrets...)
	return r
}

// Add adds secrets. Earlier secrets stay known: a server may still quote a token that was
// just replaced.
func (r *Redactor) Add(secrets ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range secrets {
		if len(s) < Shortest || slices.Contains(r.secrets, s) {
			continue
		}
		if r.secrets = append(r.secrets, s); len(r.secrets) > mostSecrets {
			r.secrets = slices.Clone(r.secrets[mostSecrets/4:])
			r.needles = nil
			for _, secret := range r.secrets {
				r.learn(secret)
			}
			continue
		}
		r.learn(s)
	}
}

// public matches texts that people store next to a secret: a host with or without a port,
// an address, a URL without login and query, a number.
var public = regexp.MustCompile(`^(https?://)?([a-z0-9_-]{1,63}\.)+[a-z]{2,24}\.?(:[0-9]+)?(/[a-zA-Z0-9._/-]*)?$|^(https?://)?[0-9.]+(:[0-9]+)?/?$|^(https?://)?\[?[0-9a-f:]+:[0-9a-f:.]+\]?(:[0-9]+)?/?$`)

// Learn adds the value of a reference. It skips texts that look public: striking the name
// of a zone everywhere would make every message unreadable.
func (r *Redactor) Learn(text string) {
	if len(text) >= leastLearnt && !public.MatchString(text) {
		r.Add(text)
	}
}

// leastLearnt excludes short words such as "admin" and "eu-1" from striking everywhere.
// The texts of one DNS account's own child use Shortest.
const leastLearnt = 6

// learn adds the spellings of a secret. The caller holds mu.
func (r *Redactor) learn(secret string) {
	if r.needles == nil {
		r.needles = map[[Shortest]byte][]needle{}
	}
	for _, n := range spell(secret) {
		if len(n.text) < Shortest {
			continue
		}
		key := [Shortest]byte([]byte(n.text))
		if !slices.Contains(r.needles[key], n) {
			r.needles[key] = append(r.needles[key], n)
		}
	}
}

// Strike returns text with Struck in place of each secret. A nil Redactor strikes only
// what Tokens recognizes.
func (r *Redactor) Strike(text string) string {
	if r != nil {
		text = r.strikeKnown(text)
	}
	return Tokens(text)
}

// strikeKnown strikes the known secrets. It collects all matches before it cuts, because
// spellings may overlap.
func (r *Redactor) strikeKnown(text string) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var found []span
	for i := 0; i+Shortest <= len(text) && len(r.needles) > 0; i++ {
		for _, n := range r.needles[[Shortest]byte([]byte(text[i:i+Shortest]))] {
			if strings.HasPrefix(text[i:], n.text) {
				found = append(found, n.span(text, i))
			}
		}
	}
	return cut(text, found)
}

// Writer returns a writer that strikes secrets and forwards to w. It finds only secrets
// within one call of Write; log handlers write one line per call.
func (r *Redactor) Writer(w interface{ Write([]byte) (int, error) }) *Writer { return &Writer{r, w} }

// Writer strikes the secrets in everything written to it.
type Writer struct {
	redactor *Redactor
	to       interface{ Write([]byte) (int, error) }
}

// Write writes p without secrets. The returned count refers to p, as io.Writer requires.
func (w *Writer) Write(p []byte) (int, error) {
	struck := []byte(w.redactor.Strike(string(p)))
	if bytes.Equal(struck, p) {
		return w.to.Write(p)
	}
	if _, err := w.to.Write(struck); err != nil {
		return 0, err
	}
	return len(p), nil
}

// span is the part [from, to) of a text.
type span struct{ from, to int }

// cut replaces spans, which may overlap. If one secret is the beginning of another, no
// tail of the longer one remains.
func cut(text string, spans []span) string {
	if len(spans) == 0 {
		return text
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var b strings.Builder
	end := 0
	for i, s := range spans {
		if i == 0 || s.from > end {
			b.WriteString(text[end:s.from])
			b.WriteString(Struck)
		}
		end = max(end, s.to)
	}
	b.WriteString(text[end:])
	return b.String()
}
