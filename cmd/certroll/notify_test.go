package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"certroll/cmd/certroll/view/notification"
	"certroll/examples/lab"
	"certroll/reconcile/ledger"
)

const notifySecret = "whsec_dGhlIHNlY3JldCBvZiB0aGlzIHRlc3QgYWxvbmUgISE="

// receiver accepts webhooks at /hook and a service's texts at /chat.
type receiver struct {
	*httptest.Server
	t       *testing.T
	mu      sync.Mutex
	answer  int
	tried   []string // IDs, including rejected deliveries
	bodies  []string // one for each delivery
	taken   []notification.Message
	texts   []string
	forgery int
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{t: t, answer: http.StatusNoContent}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil || r.answer >= 300 && req.URL.Path == "/chat" {
		rw.WriteHeader(http.StatusInternalServerError)
		return
	}
	if req.URL.Path == "/chat" {
		r.texts = append(r.texts, string(body))
		return
	}
	id := req.Header.Get("webhook-id")
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(notifySecret, "whsec_"))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + req.Header.Get("webhook-timestamp") + "." + string(body)))
	var n notification.Message
	if req.Header.Get("webhook-signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) || json.Unmarshal(body, &n) != nil || n.ID != id {
		r.forgery++
		return
	}
	r.bodies = append(r.bodies, string(body))
	if r.tried = append(r.tried, id); r.answer < 300 {
		r.taken = append(r.taken, n)
	}
	rw.WriteHeader(r.answer)
}

// kinds returns the types of the accepted notifications, with the certificates.
func (r *receiver) kinds() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var kinds []string
	for _, n := range r.taken {
		kinds = append(kinds, strings.TrimSpace(n.Type+" "+strings.Join(n.Data.Certificates, " ")))
	}
	if r.forgery > 0 {
		r.t.Errorf("%d messages are not signed as they should be", r.forgery)
	}
	return kinds
}

// each returns the type of every accepted notification with each of its certificates, sorted.
func (r *receiver) each() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var each []string
	for _, n := range r.taken {
		for _, c := range n.Data.Certificates {
			each = append(each, n.Type+" "+c)
		}
	}
	slices.Sort(each)
	return each
}

func (r *receiver) tries() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.tried)
}

func (r *receiver) answers(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = status
}

// blocks returns notify blocks for both paths to the receiver. They leave out findings, because the daily examination
// may or may not precede the first failure.
func (w *world) blocks(r *receiver) string {
	w.t.Helper()
	service := "generic://" + strings.TrimPrefix(r.URL, "http://") + "/chat?disabletls=yes&$token=hidden-service-token"
	for name, text := range map[string]string{"secret": notifySecret, "service": service} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text+"\n"), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	return `
interval = "1s"
listen   = "127.0.0.1:0"
notify "hook" {
  webhook     = "` + r.URL + `/hook"
  on          = ["failing", "recovered"]
  secret_file = "` + filepath.Join(w.dir, "secret") + `"
}
notify "chat" {
  service_file = "` + filepath.Join(w.dir, "service") + `"
  on           = ["failing", "recovered"]
  labels       = { team = "payments" }
}
`
}

func (w *world) keepsNotifySecrets(out string) {
	w.t.Helper()
	for _, s := range []string{strings.TrimPrefix(notifySecret, "whsec_"), "hidden-service-token"} {
		if strings.Contains(out, s) {
			w.t.Errorf("the output holds %q:\n%s", s, out)
		}
	}
}

// TestNotifyOfARun: certificates that fail together give one message, however often they are retried, and so does their
// recovery.
func TestNotifyOfARun(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate, "more.hcl": strings.Replace(
		strings.ReplaceAll(oneCertificate, "api", "more"), "domains", "labels = { team = \"payments\" }\n  domains", 1)})
	r := newReceiver(t)
	w.settings(w.blocks(r))
	w.dns.FailUpdates(lab.Refuse)
	cmd, out := w.startRun()
	w.until("the failures", out, func() bool { return w.countEvents("issue", "failure") == 2 })
	w.until("word of them", out, func() bool { return len(r.kinds()) > 0 })
	w.certroll(0, "retry", "api", "more")
	w.until("another failure", out, func() bool { return w.countEvents("issue", "failure") > 2 })
	w.dns.FailUpdates(lab.None)
	w.certroll(0, "retry", "api", "more")
	w.until("the certificates", out, func() bool { return w.countEvents("issue", "success") == 2 })
	w.until("word of them", out, func() bool { return strings.Contains(strings.Join(r.kinds(), ","), "recovered") })
	counted := regexp.MustCompile(`(?m)^certroll_notifications_total\{destination="(hook|chat)",status="success"\} [1-9]`)
	w.until("the count of messages", out, func() bool { return len(counted.FindAllString(w.scrape(out), -1)) == 2 })
	w.stopRun(cmd, out)
	// On a busy machine the second failure reaches the ledger after the first was sent.
	if got := r.each(); !slices.Equal(got, []string{"failing api", "failing more", "recovered api", "recovered more"}) {
		t.Errorf("told: %q", got)
	}
	if len(r.texts) != 2 || !strings.Contains(r.texts[0], "REFUSED") || !strings.Contains(r.texts[0], "certroll retry more") || strings.Contains(r.texts[0], "api") {
		t.Errorf("the payments team got %q", r.texts)
	}
	n := r.taken[0]
	if n.Schema != notification.Schema || n.Data.Count != len(n.Data.Certificates) || n.Data.Notices[0].Event.Class != ledger.ClassDNSUnauthorized || !strings.Contains(n.Data.Subject, "DNS account lab refuses certroll's credentials: ") || !strings.HasSuffix(n.Data.Subject, "failed (dns_unauthorized)") {
		t.Errorf("it says %+v", n)
	}
	w.keepsNotifySecrets(out.String())
	if strings.Contains(w.git("log", "-p", "certroll/status"), "hidden-service-token") {
		t.Error("the ledger holds the service's token")
	}
}

// scrape returns the response of /metrics, or "" if there is none.
func (w *world) scrape(out *output) string {
	address := regexp.MustCompile(`msg=listening address=(\S+)`).FindStringSubmatch(out.String())
	if address == nil {
		return ""
	}
	resp, err := http.Get("http://" + address[1] + "/metrics")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

// TestNotifyOverARestart: certroll sends a rejected message again unchanged, also after a restart.
func TestNotifyOverARestart(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.env = append(w.env, leaseVariable+"=2s")
	r := newReceiver(t)
	r.answers(http.StatusInternalServerError)
	w.settings(w.blocks(r))
	w.dns.FailUpdates(lab.Refuse)
	cmd, out := w.startRun()
	w.until("a try", out, func() bool { return len(r.tries()) > 0 })
	w.until("word of it", out, func() bool { return strings.Contains(out.String(), "sending a notification failed") })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	r.answers(http.StatusOK)
	again, more := w.startRun()
	w.until("the message", more, func() bool { return len(r.kinds()) > 0 })
	w.stopRun(again, more)
	if got := r.kinds(); !slices.Equal(got, []string{"failing api"}) {
		t.Errorf("told: %q", got)
	}
	if ids := r.tries(); len(slices.Compact(ids)) != 1 || len(slices.Compact(slices.Clone(r.bodies))) != 1 {
		t.Errorf("it was tried under the ids %q with the bodies %q", ids, r.bodies)
	}
	w.keepsNotifySecrets(out.String() + more.String())
}

// TestNotifyOfApply: apply sends its results once.
func TestNotifyOfApply(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	r := newReceiver(t)
	w.settings(w.blocks(r))
	w.dns.FailUpdates(lab.Refuse)
	w.certroll(1, "apply", "-auto-approve")
	w.certroll(0, "apply", "-auto-approve") // held: nothing happens
	w.dns.FailUpdates(lab.None)
	w.certroll(0, "retry", "api")
	w.certroll(0, "apply", "-auto-approve")
	if got := r.kinds(); !slices.Equal(got, []string{"failing api", "recovered api"}) {
		t.Errorf("told: %q", got)
	}
}

// TestNotifyTest: the command sends one message to each destination and prints each response.
func TestNotifyTest(t *testing.T) {
	w := &world{t: t, dir: t.TempDir(), program: "certroll"}
	r := newReceiver(t)
	if err := os.WriteFile(filepath.Join(w.dir, "certroll.hcl"), []byte(w.blocks(r)), 0o600); err != nil {
		t.Fatal(err)
	}
	out := w.certroll(0, "notify", "test")
	if got := r.kinds(); !slices.Equal(got, []string{"test"}) || len(r.texts) != 1 || !strings.Contains(out, "hook: it took the message") {
		t.Errorf("sent %q and %q, said:\n%s", got, r.texts, out)
	}
	r.answers(http.StatusTeapot)
	out = w.certroll(1, "notify", "test", "hook")
	if !strings.Contains(out, "418 I'm a teapot") || strings.Contains(out, "chat") {
		t.Errorf("it says:\n%s", out)
	}
	w.keepsNotifySecrets(out + w.certroll(1, "notify", "test", "chat"))
	w.says("notify test nobody", `no notify block "nobody"`)
}
