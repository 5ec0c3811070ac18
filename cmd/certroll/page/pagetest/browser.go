// Package pagetest drives a real browser for tests of the status page, through the
// program examples/lab/browser, which alone implements the browser's protocol.
//
// It is an integration, like the lab's servers: tests that need it are skipped under
// -short, and fail if Chromium is missing.
package pagetest

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"os/exec"
	"sync"
	"testing"
	"time"

	"certroll/examples/lab/labtest"
)

// Browser is one headless Chromium.
type Browser struct {
	mu  sync.Mutex // one request at a time
	out *json.Encoder
	in  *bufio.Reader
	log bytes.Buffer // the driver's standard error; read it only after the driver's end
	cmd *exec.Cmd
}

// patience bounds one wait for the page.
const patience = 60 * time.Second

// Start starts a browser with an empty profile and stops it with the test.
func Start(t testing.TB) *Browser {
	t.Helper()
	program := Program()
	labtest.Needs(t, cmp.Or(program, "chromium"))
	b := &Browser{}
	b.cmd = exec.Command(labtest.BrowserDriver(t), program, t.TempDir()) //nolint:noctx // it ends with its input
	b.cmd.Stderr = &b.log
	stdin, err := b.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := b.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.out, b.in = json.NewEncoder(stdin), bufio.NewReader(stdout)
	t.Cleanup(func() {
		_ = stdin.Close()
		late := time.AfterFunc(patience, func() { _ = b.cmd.Process.Kill() })
		defer late.Stop()
		if err := b.cmd.Wait(); err != nil { // then the browser has ended, and its profile can be removed
			t.Errorf("the browser's driver: %v\n%s", err, &b.log)
		}
	})
	return b
}

// Program returns the browser's path; "" if there is none.
func Program() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// request and answer are the messages of examples/lab/browser.
type request struct {
	Op            string `json:"op"`
	Tab           int    `json:"tab"`
	Text          string `json:"text"`
	Width, Height int64
}

type answer struct {
	Error string          `json:"error"`
	Tab   int             `json:"tab"`
	Value json.RawMessage `json:"value"`
	PNG   []byte          `json:"png"`
	Said  []string        `json:"said"`
}

// ask sends one request and waits for its answer.
func (b *Browser) ask(t testing.TB, r request) (a answer) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.out.Encode(r)
	var line []byte
	if err == nil {
		line, err = b.in.ReadBytes('\n')
	}
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	if err != nil {
		t.Fatalf("the browser's driver does not answer: %v", err)
	}
	if a.Error != "" {
		t.Fatalf("the browser: %s %s: %s", r.Op, r.Text, a.Error)
	}
	return a
}

// Tab is one tab whose console is recorded.
type Tab struct {
	t  testing.TB
	b  *Browser
	id int
}

// Tab opens a tab and records its console, which reports violations of the content
// security policy.
func (b *Browser) Tab(t testing.TB) *Tab {
	t.Helper()
	return &Tab{t: t, b: b, id: b.ask(t, request{Op: "tab"}).Tab}
}

func (t *Tab) ask(op, text string) answer {
	t.t.Helper()
	return t.b.ask(t.t, request{Op: op, Tab: t.id, Text: text})
}

// Silent fails the test if the console has any output.
func (t *Tab) Silent() {
	t.t.Helper()
	for _, s := range t.ask("said", "").Said {
		t.t.Errorf("the browser's console says: %s", s)
	}
}

// Open loads a URL.
func (t *Tab) Open(address string) {
	t.t.Helper()
	t.ask("open", address)
}

// Eval returns the value of an expression in the page.
func Eval[T any](t *Tab, expression string) T {
	t.t.Helper()
	var v T
	if a := t.ask("eval", expression); len(a.Value) > 0 {
		if err := json.Unmarshal(a.Value, &v); err != nil {
			t.t.Fatalf("evaluating %s: %v", expression, err)
		}
	}
	return v
}

// Text returns the visible text of the page.
func (t *Tab) Text() string {
	t.t.Helper()
	return Eval[string](t, "document.body.innerText")
}

// Until waits for an expression to become true, across reloads of the page.
func (t *Tab) Until(expression string) {
	t.t.Helper()
	for deadline := time.Now().Add(patience); !Eval[bool](t, "Boolean("+expression+")"); {
		if time.Now().After(deadline) {
			t.t.Fatalf("waiting for %s; the page shows:\n%s", expression, t.Text())
		}
		time.Sleep(50 * time.Millisecond) // another process is working
	}
}

// Scripts turns the page's JavaScript on or off.
func (t *Tab) Scripts(on bool) {
	t.t.Helper()
	t.ask("scripts", map[bool]string{true: "on", false: "off"}[on])
}

// Scheme sets the preferred colour scheme: "dark" or "light".
func (t *Tab) Scheme(name string) {
	t.t.Helper()
	t.ask("scheme", name)
}

// Size sets the size of the viewport.
func (t *Tab) Size(width, height int64) {
	t.t.Helper()
	t.b.ask(t.t, request{Op: "size", Tab: t.id, Width: width, Height: height})
}

// Type sends keys to the focused element.
func (t *Tab) Type(keys string) {
	t.t.Helper()
	t.ask("type", keys)
}

// Press presses a character's key as a keyboard does; the page may prevent the input.
func (t *Tab) Press(key string) {
	t.t.Helper()
	t.ask("press", key)
}

// Shot returns a screenshot as PNG.
func (t *Tab) Shot() []byte {
	t.t.Helper()
	return t.ask("shot", "").PNG
}
