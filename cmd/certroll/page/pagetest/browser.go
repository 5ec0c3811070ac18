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

	"github.com/chromedp/cdproto/emulation"
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
	if err := chromedp.Run(ctx); err != nil {
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

// Tab opens a tab and demands at the end of the test that its console stayed
// silent: a violation of the content security policy would be said there.
func (b *Browser) Tab(t testing.TB) *Tab {
	t.Helper()
	ctx, leave := chromedp.NewContext(b.ctx)
	tab := &Tab{t: t, ctx: ctx}
	t.Cleanup(leave)
	chromedp.ListenTarget(ctx, func(event any) {
		switch e := event.(type) {
		case *log.EventEntryAdded:
			tab.hear(fmt.Sprintf("%s %s: %s %s", e.Entry.Level, e.Entry.Source, e.Entry.Text, e.Entry.URL))
		case *runtime.EventConsoleAPICalled:
			tab.hear(fmt.Sprintf("console.%s: %v", e.Type, e.Args))
		case *runtime.EventExceptionThrown:
			tab.hear("exception: " + e.ExceptionDetails.Error())
		}
	})
	tab.Do(log.Enable(), runtime.Enable())
	return tab
}

func (t *Tab) hear(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.said = append(t.said, text)
}

// Silent demands that the console said nothing so far.
func (t *Tab) Silent() {
	t.t.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.said {
		t.t.Errorf("the browser's console says: %s", s)
	}
}

// Do runs actions.
func (t *Tab) Do(actions ...chromedp.Action) {
	t.t.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		t.t.Fatalf("the browser: %v", err)
	}
}

// Open loads an address.
func (t *Tab) Open(address string) {
	t.t.Helper()
	t.Do(chromedp.Navigate(address))
}

// Text is what an element shows.
func (t *Tab) Text(selector string) string {
	t.t.Helper()
	var text string
	t.Do(chromedp.Text(selector, &text, chromedp.ByQuery))
	return text
}

// Eval evaluates an expression in the page, into what is pointed at.
func (t *Tab) Eval(expression string, into any) {
	t.t.Helper()
	t.Do(chromedp.Evaluate(expression, into))
}

// Until waits for an expression to be true.
func (t *Tab) Until(expression string) {
	t.t.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	var seen string
	if err := chromedp.Run(ctx, chromedp.Poll(expression, nil, chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(patience))); err != nil {
		_ = chromedp.Run(t.ctx, chromedp.Evaluate("document.body.innerText", &seen))
		t.t.Fatalf("waiting for %s: %v; the page shows:\n%s", expression, err, seen)
	}
}

// Scripts turns JavaScript on or off.
func (t *Tab) Scripts(on bool) {
	t.t.Helper()
	t.Do(emulation.SetScriptExecutionDisabled(!on))
}

// Scheme sets the colour scheme that the reader prefers: "dark" or "light".
func (t *Tab) Scheme(name string) {
	t.t.Helper()
	t.Do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}))
}

// Size sets the size of what is seen.
func (t *Tab) Size(width, height int64) {
	t.t.Helper()
	t.Do(chromedp.EmulateViewport(width, height))
}

// Shot is what is seen, as a PNG.
func (t *Tab) Shot() []byte {
	t.t.Helper()
	var png []byte
	t.Do(chromedp.CaptureScreenshot(&png))
	return png
}
