package ask

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"certroll/cmd/certroll/page"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/view"
	"certroll/reconcile/ledger"
)

// TestAskRun: for any response at the listen address, the command shows its content or the reason why there is none,
// and never fails.
func TestAskRun(t *testing.T) {
	t.Parallel()
	const token = "a-token-that-is-long-enough-for-it"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		answer http.HandlerFunc
		error  string
		check  func(*view.Service) bool
	}{
		"well": {
			answer: func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer "+token || r.URL.Path != "/status.json" {
					http.Error(w, "no", http.StatusUnauthorized)
					return
				}
				_, _ = w.Write([]byte(`{"schema":1,"pass":{"ended":"2026-11-01T10:00:00Z","error":"Vault is sealed"},"troubles":["held"],"settings":{"read_at":"2026-11-01T10:00:00Z","notes":["certroll.hcl has changed"]},` +
					`"newest":{"commit":"abcdef0123456789","message":"not signed"},"at_work":[{"certificate":"api","operation":"issue","step":"ordering"}],` +
					`"certificates":[null,{"certificate":"new","state":"missing"},{"certificate":"api","state":"in_order"}]}`))
			},
			check: func(s *view.Service) bool {
				return s.PassError == "Vault is sealed" && len(s.Faults) == 1 && len(s.Settings) == 1 && strings.Contains(s.Revision, "abcdef012345 is not in force: not signed") &&
					len(s.AtWork) == 1 && s.AtWork[0].At == "ordering" && len(s.Missing) == 1 && s.Missing[0] == "new"
			},
		},
		"another program": {answer: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, error: "its answer is not that of certroll run"},
		"a later one":     {answer: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"schema":9}`)) }, error: "schema 9"},
		"elsewhere": {answer: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://example.com/", http.StatusFound)
		}, error: "redirect"},
		"not let in": {answer: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "x", http.StatusUnauthorized) }, error: "401"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(tc.answer)
			defer server.Close()
			address := server.Listener.Addr().String()
			s := &settings.Settings{Listen: &address, ListenTokenFile: file}
			got, answer := askRun(t.Context(), s)
			if tc.error != "" {
				if answer != nil || !strings.Contains(got.Error, tc.error) || got.Ill() {
					t.Fatalf("got %+v, want the error %q", got, tc.error)
				}
				return
			}
			if got.Error != "" || !tc.check(got) {
				t.Fatalf("got %+v", got)
			}
		})
	}
	nowhere, silent := "", "127.0.0.1:1"
	if got, _ := askRun(t.Context(), &settings.Settings{Listen: &nowhere}); got != nil {
		t.Errorf("nothing is served, and it was asked: %+v", got)
	}
	if got, _ := askRun(t.Context(), &settings.Settings{Listen: &silent}); !strings.Contains(got.Error, "refused") {
		t.Errorf("nobody listens: %+v", got)
	}
	for address, want := range map[string]string{":9464": "localhost:9464", "0.0.0.0:1": "localhost:1", "[::]:1": "localhost:1", "10.0.0.1:1": "10.0.0.1:1"} {
		if got := reachable(address); got != want {
			t.Errorf("%s is reached at %s, want %s", address, got, want)
		}
	}
}

// TestStatusFromRun: if the ledger is not readable, the counts of certroll run determine the exit code.
func TestStatusFromRun(t *testing.T) {
	t.Parallel()
	for state, want := range map[ledger.State]struct{ well, page bool }{
		ledger.StateInOrder: {well: true}, ledger.StateDue: {well: true}, ledger.StateFailing: {}, ledger.StateExpired: {}, ledger.StateOverdue: {}, ledger.StateNotServed: {},
		ledger.StatePaging: {page: true}, ledger.StateRevoked: {page: true}, ledger.StateDeleted: {page: true},
	} {
		answer := &page.Status{Totals: map[ledger.State]int{state: 1}, Certificates: []*page.Certificate{{Name: "api", State: state}}}
		dto := statusFromRun(serviceOf("127.0.0.1:9464", answer), answer, errors.New("remote unreachable"))
		if wakes := dto.Paging+dto.Revoked+dto.Deleted > 0; dto.Well() != want.well || wakes != want.page || len(dto.Service.Certificates) != 1 {
			t.Errorf("%s: well %v, a person is woken %v, %+v", state, dto.Well(), wakes, dto)
		}
	}
}
