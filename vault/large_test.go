package vault

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
)

// endless sends a response without end. Vault never does, but a proxy in front of it can.
func endless(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/v1/sys/internal/ui/mounts/") {
		fmt.Fprint(w, `{"data": {"type": "kv", "path": "secret/", "options": {"version": "2"}}}`)
		return
	}
	_, _ = io.WriteString(w, `{"data": {"keys": ["`)
	chunk := strings.Repeat("x", 1<<20)
	for range 200 {
		if _, err := io.WriteString(w, chunk); err != nil {
			return
		}
	}
	_, _ = io.WriteString(w, `"]}}`)
}

// TestEndlessAnswers: certroll cuts off an endless response and reports that it is too large.
func TestEndlessAnswers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(endless))
	t.Cleanup(server.Close)
	c, err := New(Options{Address: server.URL, Auth: Auth{Method: "token"}})
	if err != nil {
		t.Fatal(err)
	}
	kv := NewKV(c)
	for name, tc := range map[string]struct {
		call func() error
		most int
	}{
		"read": {func() error { _, _, err := kv.Read(t.Context(), "secret", "a"); return err }, maxRead},
		"list": {func() error { _, err := kv.List(t.Context(), "secret", "a"); return err }, maxAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := tc.call()
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("it has more than %d bytes", tc.most)) {
				t.Errorf("got %v", err)
			}
			// A doubling buffer allocates up to three times its final size, and the API client reads the body twice.
			if got := after.TotalAlloc - before.TotalAlloc; got > 10*uint64(tc.most) && !raced {
				t.Errorf("%d MB were allocated", got>>20)
			}
		})
	}
}
