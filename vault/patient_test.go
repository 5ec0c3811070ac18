package vault

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// answers is a fake Vault made of one function.
type answers func(*http.Request) (status int, header http.Header, body string)

func (a answers) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	status, header, body := a(req)
	for k, v := range header {
		w.Header()[k] = v
	}
	w.WriteHeader(status)
	_, _ = w.WriteString(body)
	return w.Result(), req.Context().Err()
}

// TestQuota: Vault's quota permits eight calls per second. All of sixty-four readers succeed within the time that the
// quota needs, without flooding Vault with retries.
func TestQuota(t *testing.T) {
	for name, header := range map[string]http.Header{"Retry-After": {"Retry-After": {"1"}}, "no word": {}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const rate, readers = 8, 64
				var mu sync.Mutex
				var second, left, refused int
				began := time.Now()
				p := &patient{timeout: time.Minute, next: answers(func(*http.Request) (int, http.Header, string) {
					mu.Lock()
					defer mu.Unlock()
					if now := int(time.Since(began) / time.Second); now != second || left == 0 && refused == 0 {
						second, left = now, rate
					}
					if left == 0 {
						refused++
						return http.StatusTooManyRequests, header, `{"errors":["request path: rate limit quota exceeded"]}`
					}
					left--
					return http.StatusOK, nil, "{}"
				})}
				var wg sync.WaitGroup
				for range readers {
					wg.Go(func() {
						req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://vault.example.com/v1/secret/metadata/x", http.NoBody)
						resp, err := p.RoundTrip(req)
						if err != nil || resp.StatusCode != http.StatusOK {
							t.Errorf("%v, %v", resp, err)
							return
						}
						_ = resp.Body.Close()
					})
				}
				wg.Wait()
				if took := time.Since(began); took > 3*time.Minute || refused > 3*readers {
					t.Errorf("took %s, %d refused", took, refused)
				}
			})
		})
	}
}

// TestPatienceEnds: calls to a Vault that is always overloaded end after certroll's own bound, whatever Retry-After
// says.
func TestPatienceEnds(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		after  string
		body   string
		most   time.Duration
	}{
		"429":              {http.StatusTooManyRequests, "", "", patienceQuota},
		"429, ten years":   {http.StatusTooManyRequests, "315360000", "", patienceQuota},
		"429, nonsense":    {http.StatusTooManyRequests, "-7", "", patienceQuota},
		"503":              {http.StatusServiceUnavailable, "", "", patienceReady},
		"503, sealed":      {http.StatusServiceUnavailable, "", `{"errors":["Vault is sealed"]}`, 0},
		"503, Retry-After": {http.StatusServiceUnavailable, "5", "", patienceReady},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				p := &patient{timeout: time.Minute, next: answers(func(*http.Request) (int, http.Header, string) {
					asked++
					return c.status, http.Header{"Retry-After": {c.after}}, c.body
				})}
				began := time.Now()
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://vault.example.com/v1/secret/metadata/x", http.NoBody)
				resp, err := p.RoundTrip(req)
				if err != nil || resp.StatusCode != c.status || time.Since(began) > c.most || asked > 30 {
					t.Errorf("%v, %v after %s, asked %d times", resp, err, time.Since(began), asked)
				}
			})
		})
	}
}

// TestPaceRecovers: a rejected call lowers the number of concurrent calls, and successful calls raise it again. A
// canceled caller blocks no other.
func TestPaceRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pace{}
		for range 16 {
			_ = p.enter(t.Context())
		}
		p.refused(time.Second, 0)
		p.refused(time.Second, 0) // at the same time: halves the pace only once
		if p.limit != 8 {
			t.Errorf("limit %d", p.limit)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if p.enter(ctx) == nil {
			t.Error("there was room")
		}
		for range 16 {
			p.leave()
		}
		for range 100_000 {
			p.taken()
		}
		if p.limit != 0 || p.active != 0 {
			t.Errorf("limit %d, %d active", p.limit, p.active)
		}
	})
}

// openBao is a fake that behaves like OpenBao 2.6: it answers a revoked token with "permission denied" and nothing
// more, as it answers a token without the capability.
type openBao struct {
	mu       sync.Mutex
	live     map[string]bool
	noSelf   bool // policies do not permit a token's lookup of itself
	logins   int
	lookups  atomic.Int64
	forbids  string // a path that no token can read
	vaultish bool   // adds "invalid token" to the response, as Vault does
}

func (b *openBao) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	say := func(status int, body string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
	denied := `{"errors":["permission denied"]}`
	if b.vaultish {
		denied = `{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}`
	}
	live := b.live[r.Header.Get("X-Vault-Token")]
	switch path := strings.TrimPrefix(r.URL.Path, "/v1/"); {
	case path == "auth/approle/login":
		b.logins++
		token := fmt.Sprintf("t%d", b.logins)
		b.live[token] = true
		say(http.StatusOK, `{"auth":{"client_token":"`+token+`","lease_duration":3600,"renewable":true}}`)
	case !live:
		if path == "auth/token/lookup-self" {
			b.lookups.Add(1)
		}
		say(http.StatusForbidden, denied)
	case path == "auth/token/lookup-self":
		b.lookups.Add(1)
		if b.noSelf {
			say(http.StatusForbidden, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`)
			return
		}
		say(http.StatusOK, `{"data":{"ttl":3600}}`)
	case b.forbids != "" && strings.Contains(path, b.forbids):
		say(http.StatusForbidden, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`)
	case strings.HasPrefix(path, "sys/internal/ui/mounts/"):
		say(http.StatusOK, `{"data":{"path":"secret/","type":"kv","options":{"version":"2"}}}`)
	default:
		say(http.StatusOK, `{"data":{"current_version":1,"versions":{"1":{}}}}`)
	}
}

func (b *openBao) revokeAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.live = map[string]bool{}
}

func baoClient(t *testing.T, b *openBao, a Auth) (*Client, *KV) {
	t.Helper()
	b.live = map[string]bool{"given": true}
	t.Setenv("VAULT_TOKEN", "given")
	t.Setenv("SECRET_ID", "id")
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	c, err := New(Options{Address: server.URL, Auth: a})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c, NewKV(c)
}

var byRole = Auth{Method: "approle", RoleID: "r", SecretIDEnv: "SECRET_ID"}

// TestDeadTokenOfOpenBao: certroll tells a revoked token from one without the capability, and the call continues with
// the token of a new login.
func TestDeadTokenOfOpenBao(t *testing.T) {
	for name, b := range map[string]*openBao{"OpenBao": {}, "Vault": {vaultish: true}, "no lookup-self": {noSelf: true}} {
		t.Run(name, func(t *testing.T) {
			_, kv := baoClient(t, b, byRole)
			b.revokeAll()
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					if _, _, _, err := kv.ReadMetadata(t.Context(), "secret", fmt.Sprintf("tls/%d", i)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if b.logins != 2 {
				t.Errorf("%d logins, want the first and one more", b.logins)
			}
		})
	}
}

// TestForbiddenIsNotDead: a path outside the policy causes no login and few token lookups.
func TestForbiddenIsNotDead(t *testing.T) {
	for name, a := range map[string]Auth{"approle": byRole, "given": {}} {
		b := &openBao{forbids: "tls/forbidden"}
		_, kv := baoClient(t, b, a)
		logins := b.logins
		for range 30 {
			_, _, _, err := kv.ReadMetadata(t.Context(), "secret", "tls/forbidden")
			if err == nil || !strings.Contains(err.Error(), `lacks the capability read on it; add to its policy:  path "secret/metadata/tls/forbidden"`) {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if b.logins != logins || b.lookups.Load() > 2 {
			t.Errorf("%s: %d logins, %d lookups", name, b.logins-logins, b.lookups.Load())
		}
	}
}

// TestGivenTokenDead: certroll cannot replace a token that it was started with. The error says that the token has
// ended, not that its policy lacks a capability.
func TestGivenTokenDead(t *testing.T) {
	b := &openBao{}
	_, kv := baoClient(t, b, Auth{})
	b.revokeAll()
	for range 3 {
		_, _, _, err := kv.ReadMetadata(t.Context(), "secret", "tls/api")
		if err == nil || !strings.Contains(err.Error(), "the token is not valid any more") || strings.Contains(err.Error(), "capability") {
			t.Fatal(err)
		}
		if place, ok := err.(interface{ OfPlace() bool }); !ok || place.OfPlace() {
			t.Error("it is taken for a fault of one path")
		}
	}
	// One lookup of the token itself and one of a token that does not exist.
	if n := b.lookups.Load(); n > 2 {
		t.Errorf("%d lookups", n)
	}
}

// TestTokenUsedUp: a role with token_num_uses other than 0 issues tokens that end after that many calls, before
// certroll logs in again. The error names the setting.
func TestTokenUsedUp(t *testing.T) {
	for name, b := range map[string]*openBao{"OpenBao": {}, "Vault": {vaultish: true}} {
		t.Run(name, func(t *testing.T) {
			_, kv := baoClient(t, b, byRole)
			b.revokeAll()
			if _, _, _, err := kv.ReadMetadata(t.Context(), "secret", "tls/api"); err != nil {
				t.Fatal(err)
			}
			b.revokeAll()
			_, _, _, err := kv.ReadMetadata(t.Context(), "secret", "tls/api")
			if err == nil || !strings.Contains(err.Error(), "token_num_uses") || strings.Contains(err.Error(), "capability") {
				t.Error(err)
			}
		})
	}
}

// TestMetadataCASRequiredIsNamed: where a mount or secret has cas_required, OpenBao rejects metadata writes without
// check-and-set. The error names the setting and is not a conflict.
func TestMetadataCASRequiredIsNamed(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"errors":["metadata check-and-set parameter required for this call"]}`))
	}))
	t.Cleanup(server.Close)
	t.Setenv("VAULT_TOKEN", "given")
	c, err := New(Options{Address: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	err = NewKV(c).WriteMetadata(t.Context(), "secret", "tls/api", map[string]string{"a": "b"})
	if err == nil || !strings.Contains(err.Error(), "turn metadata_cas_required off") || isConflict(err) {
		t.Errorf("it says %v", err)
	}
}
