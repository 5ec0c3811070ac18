// Package pagetest drives a real browser for the tests of the status page.
//
// Like the lab's servers it is an integration: a test that needs it is skipped
// under -short, and fails where Chromium is missing.
package pagetest

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Browser is one headless Chromium.
type Browser struct {
	ctx context.Context // chromedp's handle on it
}

// patience bounds one wait for the page.
const patience = 60 * time.Second

// Start starts a browser with an empty profile and ends it with the test.
func Start(t testing.TB) *Browser {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes a browser")
	}
	program := Program()
	if program == "" {
		t.Fatal("there is no chromium on PATH: apt-get install chromium")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"),
		chromedp.WindowSize(1280, 900), chromedp.WSURLReadTimeout(patience))
	alloc, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, leave := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits until it has ended: its profile is removed after
		leave()
		end()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting %s: %v", program, err)
	}
	return &Browser{ctx}
}

// Program is the browser; "" where there is none.
func Program() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// Tab is one tab, whose errors are listened to.
type Tab struct {
	t   testing.TB
	ctx context.Context

	mu   sync.Mutex
	said []string
}

// Tab opens a tab and listens to its console, on which a violation of the
// content security policy would be said.
func (b *Browser) Tab(t testing.TB) *Tab {
	t.Helper()
	ctx, leave := chromedp.NewContext(b.ctx)
	t.Cleanup(leave)
	tab := &Tab{t: t, ctx: ctx}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("opening a tab: %v", err)
	}
	if err := chromedp.Listen(ctx, tab.hear); err != nil {
		t.Fatal(err)
	}
	Call(tab, log.Enable, cdp.Empty{})
	Call(tab, runtime.Enable, cdp.Empty{})
	return tab
}

// Call sends a command of the protocol.
func Call[P, R any](t *Tab, command cdp.Command[P, R], params P) {
	t.t.Helper()
	t.Do(func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, target, command, params)
		return chromedp.Void{}, err
	})
}

func (t *Tab) hear(event any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		t.said = append(t.said, fmt.Sprintf("%s %s: %s", e.Entry.Level, e.Entry.Source, e.Entry.Text))
	case *runtime.EventConsoleAPICalled:
		t.said = append(t.said, fmt.Sprintf("console.%s: %v", e.Type, e.Args))
	case *runtime.EventExceptionThrown:
		t.said = append(t.said, "exception: "+e.ExceptionDetails.Text)
	}
}

// Silent demands that the console has said nothing.
func (t *Tab) Silent() {
	t.t.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.said {
		t.t.Errorf("the browser's console says: %s", s)
	}
}

// Do runs actions.
func (t *Tab) Do(actions ...chromedp.Action[chromedp.Void]) {
	t.t.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		t.t.Fatalf("the browser: %v", err)
	}
}

// Open loads an address.
func (t *Tab) Open(address string) {
	t.t.Helper()
	t.Do(chromedp.Navigate(address))
}

// Eval is the value of an expression in the page.
func Eval[T any](t *Tab, expression string) T {
	t.t.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.t.Fatalf("evaluating %s: %v", expression, err)
	}
	return v
}

// Text is what the page shows.
func (t *Tab) Text() string {
	t.t.Helper()
	return Eval[string](t, "document.body.innerText")
}

// Until waits for an expression to be true, over reloads of the page too.
func (t *Tab) Until(expression string) {
	t.t.Helper()
	for deadline := time.Now().Add(patience); !Eval[bool](t, "Boolean("+expression+")"); {
		if time.Now().After(deadline) {
			t.t.Fatalf("waiting for %s; the page shows:\n%s", expression, t.Text())
		}
		time.Sleep(50 * time.Millisecond) // another process is at work
	}
}

// Scripts turns JavaScript of the page on or off.
func (t *Tab) Scripts(on bool) {
	t.t.Helper()
	Call(t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
}

// Scheme sets the colour scheme that the reader prefers: "dark" or "light".
func (t *Tab) Scheme(name string) {
	t.t.Helper()
	Call(t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
}

// Size sets the size of what is seen.
func (t *Tab) Size(width, height int64) {
	t.t.Helper()
	t.Do(chromedp.EmulateViewport(width, height))
}

// Type types keys to what has the focus.
func (t *Tab) Type(keys string) {
	t.t.Helper()
	t.Do(chromedp.KeyEvent(keys))
}

// Press presses the key of one character as a keyboard does: the page may keep
// it from being typed.
func (t *Tab) Press(key string) {
	t.t.Helper()
	Call(t, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: key, Text: key})
	Call(t, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyUp, Key: key})
}

// Shot is what is seen, as a PNG.
func (t *Tab) Shot() []byte {
	t.t.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.t.Fatal(err)
	}
	return png
}
