package acme

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/spec"
)

// silent never answers. A handler that returned would send an empty answer, which could
// reach the client before its timeout fires.
func silent(_ http.ResponseWriter, r *http.Request) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// TestSlowAnswerIsBounded checks that a request's timeout also covers its body: an
// answer that never comes, or comes one byte at a time without end, fails in time.
func TestSlowAnswerIsBounded(t *testing.T) {
	drips := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for r.Context().Err() == nil {
			if _, err := fmt.Fprint(w, " "); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-time.After(10 * time.Millisecond):
			case <-r.Context().Done():
			}
		}
		panic(http.ErrAbortHandler) // cut the answer short
	}
	const limit = 300 * time.Millisecond
	for name, answer := range map[string]http.HandlerFunc{"silent": silent, "a byte at a time": drips} {
		for _, what := range []string{"GET /dir", "HEAD /nonce", "POST /account"} {
			if name != "silent" && strings.HasPrefix(what, http.MethodHead) {
				continue // has no body
			}
			t.Run(name+" at "+what, func(t *testing.T) {
				t.Parallel()
				method, path, _ := strings.Cut(what, " ")
				var server *httptest.Server
				server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body) // the server notices a closed connection only after reading the body
					switch {
					case r.Method == method && r.URL.Path == path:
						answer(w, r)
					case r.URL.Path == "/dir":
						fmt.Fprintf(w, `{"newNonce":"%[1]s/nonce","newAccount":"%[1]s/account","newOrder":"%[1]s/order"}`, server.URL)
					default:
						w.Header().Set("Replay-Nonce", "bm9uY2U")
					}
				}))
				t.Cleanup(server.Close)
				bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
				issuer := &spec.Issuer{Name: "slow", Reach: spec.Reach{Anything: true}, Directory: server.URL + "/dir", CABundle: string(bundle), Email: "ops@example.com", AgreeTOS: true}
				c := New(newMemory(), Options{RequestTimeout: limit})
				defer func() { _ = c.Close() }()
				began := time.Now()
				_, _, err := c.Order(t.Context(), issuer, []string{"api.lab.test"}, "")
				if e := fails(t, err, ledger.ClassCAUnavailable, false); !strings.Contains(e.Error(), "no answer within 300ms") {
					t.Errorf("the error does not say so: %v", e)
				}
				if took := time.Since(began); took > 20*limit {
					t.Errorf("it took %s", took)
				}
			})
		}
	}
}
