package daemon

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"certroll/cmd/certroll/settings"
)

const webhookSecret = "a secret of this test alone"

func signed(body string) string {
	mac := hmac.New(sha256.New, []byte(webhookSecret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// TestSignatureOfGitHubsExample uses the test vector of GitHub's documentation.
func TestSignatureOfGitHubsExample(t *testing.T) {
	h := http.Header{"X-Hub-Signature-256": {"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}}
	if !webhookKinds["github"].sealed(h, []byte("Hello, World!"), "It's a Secret to Everybody") {
		t.Error("it is refused")
	}
}

func TestWebhooks(t *testing.T) {
	push, ledger := `{"ref":"refs/heads/main"}`, `{"ref":"refs/heads/certroll/status"}`
	cases := map[string]struct {
		kind, header, value string
		body                string
		status              int
		nudged              bool
	}{
		"GitHub":                   {"github", "X-Hub-Signature-256", "sha256=" + signed(push), push, 202, true},
		"GitHub, another branch":   {"github", "X-Hub-Signature-256", "sha256=" + signed(`{"ref":"refs/heads/topic"}`), `{"ref":"refs/heads/topic"}`, 202, false},
		"GitHub, the ledger":       {"github", "X-Hub-Signature-256", "sha256=" + signed(ledger), ledger, 202, false},
		"GitHub, a ping":           {"github", "X-Hub-Signature-256", "sha256=" + signed(`{"zen":"x"}`), `{"zen":"x"}`, 202, true},
		"GitHub, unsigned":         {"github", "X-Other", "", push, 403, false},
		"GitHub, empty signature":  {"github", "X-Hub-Signature-256", "sha256=", push, 403, false},
		"GitHub, another's":        {"github", "X-Hub-Signature-256", "sha256=" + signed(ledger), push, 403, false},
		"GitHub, without a prefix": {"github", "X-Hub-Signature-256", signed(push), push, 403, false},
		"GitLab":                   {"gitlab", "X-Gitlab-Token", webhookSecret, push, 202, true},
		"GitLab, a wrong token":    {"gitlab", "X-Gitlab-Token", webhookSecret + "x", push, 403, false},
		"GitLab, no token":         {"gitlab", "X-Other", "", push, 403, false},
		"Gitea":                    {"gitea", "X-Gitea-Signature", signed(push), push, 202, true},
		"Forgejo":                  {"forgejo", "X-Forgejo-Signature", signed(push), push, 202, true},
		"Forgejo, not hex":         {"forgejo", "X-Forgejo-Signature", "zz", push, 403, false},
		"generic":                  {"generic", "X-Certroll-Signature", "sha256=" + signed(push), push, 202, true},
		"generic, without a ref":   {"generic", "X-Certroll-Signature", "sha256=" + signed(""), "", 202, true},
	}
	t.Setenv("CERTROLL_TEST_WEBHOOK", webhookSecret)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			nudged := make(chan struct{}, 1)
			w := &webhook{
				settings: &settings.Webhook{Kind: tc.kind, SecretEnv: "CERTROLL_TEST_WEBHOOK"}, proof: webhookKinds[tc.kind],
				ref: "main", ledger: "certroll/status", nudges: nudged, room: &room{most: 1}, log: slog.New(slog.DiscardHandler),
			}
			req := httptest.NewRequest(http.MethodPost, "/webhooks/"+tc.kind, strings.NewReader(tc.body))
			req.Header.Set(tc.header, tc.value)
			rec := httptest.NewRecorder()
			w.ServeHTTP(rec, req)
			if rec.Code != tc.status || len(nudged) == 1 != tc.nudged {
				t.Errorf("status %d, told %v; want %d, %v", rec.Code, len(nudged) == 1, tc.status, tc.nudged)
			}
		})
	}
}

// FuzzWebhook: no delivery without the secret is accepted.
func FuzzWebhook(f *testing.F) {
	f.Add("github", "sha256=00", []byte(`{"ref":"refs/heads/main"}`))
	f.Add("gitlab", "", []byte("{"))
	f.Setenv("CERTROLL_TEST_WEBHOOK", webhookSecret)
	headers := map[string]string{"github": "X-Hub-Signature-256", "gitlab": "X-Gitlab-Token", "gitea": "X-Gitea-Signature", "forgejo": "X-Forgejo-Signature", "generic": "X-Certroll-Signature"}
	f.Fuzz(func(t *testing.T, kind, proof string, body []byte) {
		if headers[kind] == "" || strings.HasSuffix(proof, signed(string(body))) || proof == webhookSecret {
			t.Skip()
		}
		nudged := make(chan struct{}, 1)
		w := &webhook{settings: &settings.Webhook{Kind: kind, SecretEnv: "CERTROLL_TEST_WEBHOOK"}, proof: webhookKinds[kind], nudges: nudged, room: &room{most: 1}, log: slog.New(slog.DiscardHandler)}
		req := httptest.NewRequest(http.MethodPost, "/webhooks/"+kind, bytes.NewReader(body))
		req.Header[headers[kind]] = []string{proof}
		rec := httptest.NewRecorder()
		if w.ServeHTTP(rec, req); rec.Code != http.StatusForbidden || len(nudged) > 0 {
			t.Errorf("status %d, told %d", rec.Code, len(nudged))
		}
	})
}

// TestWebhookRefusesByTheHeader: if the header shows that the signature cannot be valid or the body is too large,
// certroll rejects the delivery without reading its body.
func TestWebhookRefusesByTheHeader(t *testing.T) {
	t.Setenv("CERTROLL_TEST_WEBHOOK", webhookSecret)
	right := "sha256=" + signed("{}")
	for name, tc := range map[string]struct {
		kind, header, value string
		length              int64
		status              int
	}{
		"no signature":        {"github", "X-Other", "", 2, 403},
		"a short signature":   {"github", "X-Hub-Signature-256", "sha256=00", 2, 403},
		"a long signature":    {"github", "X-Hub-Signature-256", right + "00", 2, 403},
		"no hex":              {"gitea", "X-Gitea-Signature", strings.Repeat("z", 64), 2, 403},
		"a wrong token":       {"gitlab", "X-Gitlab-Token", "wrong", 2, 403},
		"too large, and said": {"github", "X-Hub-Signature-256", right, maxDelivery + 1, 413},
	} {
		t.Run(name, func(t *testing.T) {
			w := &webhook{settings: &settings.Webhook{Kind: tc.kind, SecretEnv: "CERTROLL_TEST_WEBHOOK"}, proof: webhookKinds[tc.kind], room: &room{most: 1}, log: slog.New(slog.DiscardHandler)}
			req := httptest.NewRequest(http.MethodPost, "/webhooks/"+tc.kind, unreadableBody{t})
			req.ContentLength = tc.length
			req.Header.Set(tc.header, tc.value)
			rec := httptest.NewRecorder()
			if w.ServeHTTP(rec, req); rec.Code != tc.status {
				t.Errorf("status %d, want %d", rec.Code, tc.status)
			}
		})
	}
}

// unreadableBody is a body that must not be read.
type unreadableBody struct{ t *testing.T }

func (u unreadableBody) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func (u unreadableBody) Close() error { return nil }

// TestWebhookTakesTwoMegabytes: a body without a length is cut off at two megabytes.
func TestWebhookTakesTwoMegabytes(t *testing.T) {
	t.Setenv("CERTROLL_TEST_WEBHOOK", webhookSecret)
	for size, status := range map[int]int{maxDelivery: 202, maxDelivery + 1: 413} {
		body := strings.Repeat(" ", size)
		nudged := make(chan struct{}, 1)
		w := &webhook{settings: &settings.Webhook{Kind: "forgejo", SecretEnv: "CERTROLL_TEST_WEBHOOK"}, proof: webhookKinds["forgejo"], nudges: nudged, room: &room{most: 1}, log: slog.New(slog.DiscardHandler)}
		req := httptest.NewRequest(http.MethodPost, "/webhooks/forgejo", strings.NewReader(body))
		req.ContentLength = -1
		req.Header.Set("X-Forgejo-Signature", signed(body))
		rec := httptest.NewRecorder()
		if w.ServeHTTP(rec, req); rec.Code != status {
			t.Errorf("%d bytes: status %d, want %d", size, rec.Code, status)
		}
	}
}

// TestSlowDeliveriesKeepNobodyOut: clients that send a well-formed header and then their body byte by byte, or never,
// do not block genuine deliveries, and their requests end.
func TestSlowDeliveriesKeepNobodyOut(t *testing.T) {
	t.Setenv("CERTROLL_TEST_WEBHOOK", webhookSecret)
	nudged := make(chan struct{}, 1)
	w := &webhook{settings: &settings.Webhook{Kind: "forgejo", SecretEnv: "CERTROLL_TEST_WEBHOOK"}, proof: webhookKinds["forgejo"], nudges: nudged, room: &room{most: 4}, log: slog.New(slog.DiscardHandler)}
	server := httptest.NewUnstartedServer(nil)
	server.Config = newServer(t.Context(), w, w.log)
	server.Start()
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	full := func() bool { w.room.mu.Lock(); defer w.room.mu.Unlock(); return len(w.room.in) == w.room.most }
	var slow []net.Conn
	for range 8 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /webhooks/forgejo HTTP/1.1\r\nHost: %s\r\nX-Forgejo-Signature: %s\r\nContent-Length: 1000\r\n\r\n{", address, strings.Repeat("0", 64))
		slow = append(slow, conn)
	}
	for end := time.Now().Add(time.Minute); !full() && time.Now().Before(end); {
		runtime.Gosched()
	}
	if got := deliver(t, address, "forgejo", http.Header{"X-Forgejo-Signature": {signed("{}")}}, "{}"); got != http.StatusAccepted || len(nudged) != 1 {
		t.Errorf("the genuine one was answered with %d", got)
	}
	for _, conn := range slow {
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.ReadAll(conn); err != nil {
			t.Errorf("a slow one was not ended: %v", err)
		}
	}
	if w.room.mu.Lock(); len(w.room.in) > 0 {
		t.Errorf("%d places are still taken", len(w.room.in))
	}
	w.room.mu.Unlock()
}

// oneConn is a listener for one connection.
type oneConn struct{ conns chan net.Conn }

func (o oneConn) Accept() (net.Conn, error) {
	if conn, ok := <-o.conns; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

func (o oneConn) Addr() net.Addr { return &net.TCPAddr{} }
func (o oneConn) Close() error   { return nil }

// TestADeliveryHasFiveSeconds: the time limit covers header and body together, however they are split.
func TestADeliveryHasFiveSeconds(t *testing.T) {
	t.Setenv("CERTROLL_TEST_WEBHOOK", webhookSecret)
	for _, header := range []time.Duration{0, 3 * time.Second, 6 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			w := &webhook{settings: &settings.Webhook{Kind: "forgejo", SecretEnv: "CERTROLL_TEST_WEBHOOK"}, proof: webhookKinds["forgejo"], nudges: make(chan struct{}, 1), room: &room{most: 4}, log: slog.New(slog.DiscardHandler)}
			server := newServer(context.Background(), w, w.log)
			near, far := net.Pipe()
			l := oneConn{make(chan net.Conn, 1)}
			l.conns <- far
			go func() { _ = server.Serve(l) }()
			began := time.Now()
			said := make(chan struct{})
			go func() {
				defer close(said)
				_, _ = io.WriteString(near, "POST /webhooks/forgejo HTTP/1.1\r\nHost: x\r\n")
				time.Sleep(header)
				_, _ = fmt.Fprintf(near, "X-Forgejo-Signature: %s\r\nContent-Length: 1000\r\n\r\n{", strings.Repeat("0", 64))
			}()
			_, _ = io.ReadAll(near)
			// The server adds a second before it closes the connection.
			if took := time.Since(began); took < deliveryTime || took > deliveryTime+time.Second {
				t.Errorf("with a header that takes %s it had %s", header, took)
			}
			_ = near.Close()
			<-said
			close(l.conns)
			_ = server.Close()
		})
	}
}

func deliver(t *testing.T, address, kind string, h http.Header, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/webhooks/"+kind, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if h != nil {
		req.Header = h
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
