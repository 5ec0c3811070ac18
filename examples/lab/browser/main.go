// Command browser drives Chromium for the tests of the status page. It is a program in
// its own module, so that neither certroll nor its tests depend on the browser's
// protocol. The tests exchange lines of JSON with it, one request and one answer at a
// time, until its standard input ends.
//
//	browser PROGRAM PROFILE
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds one wait for the browser.
const patience = 60 * time.Second

// request is one operation on a tab.
type request struct {
	Op            string `json:"op"`
	Tab           int    `json:"tab"`
	Text          string `json:"text"` // an address, an expression, keys or a colour scheme
	Width, Height int64
}

// answer is the result of a request.
type answer struct {
	Error string   `json:"error,omitempty"`
	Tab   int      `json:"tab,omitempty"`   // op tab
	Value any      `json:"value,omitempty"` // op eval
	PNG   []byte   `json:"png,omitempty"`   // op shot
	Said  []string `json:"said,omitempty"`  // op said
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: browser PROGRAM PROFILE")
		os.Exit(2)
	}
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(program, profile string) error {
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(program), chromedp.UserDataDir(profile), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"),
		chromedp.WindowSize(1280, 900), chromedp.WSURLReadTimeout(patience))
	alloc, end := chromedp.NewExecAllocator(context.Background(), options...)
	defer end()
	ctx, leave := chromedp.NewContext(alloc)
	defer leave()
	defer func() { _ = chromedp.Cancel(ctx) }() // waits until the browser has ended, because its profile is removed afterwards
	if err := chromedp.Do(ctx); err != nil {
		return fmt.Errorf("starting %s: %w", program, err)
	}
	b := &browser{ctx: ctx}
	lines, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return fmt.Errorf("reading a request: %w", err)
		}
		a, err := b.do(r)
		if err != nil {
			a = answer{Error: err.Error()}
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
	return lines.Err()
}

type browser struct {
	ctx  context.Context // chromedp's handle on it
	tabs []*tab
}

// tab is one tab with its console messages.
type tab struct {
	ctx context.Context

	mu   sync.Mutex
	said []string
}

func (b *browser) do(r request) (answer, error) {
	if r.Op == "tab" {
		return b.open()
	}
	if r.Tab < 1 || r.Tab > len(b.tabs) {
		return answer{}, fmt.Errorf("there is no tab %d", r.Tab)
	}
	t := b.tabs[r.Tab-1]
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	switch r.Op {
	case "open":
		return answer{}, chromedp.Do(ctx, chromedp.Navigate(r.Text))
	case "eval":
		v, err := chromedp.Run(ctx, chromedp.Evaluate[any](r.Text))
		return answer{Value: v}, err
	case "scripts":
		return answer{}, call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: r.Text == "off"})
	case "scheme":
		features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: r.Text}}
		return answer{}, call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
	case "size":
		return answer{}, chromedp.Do(ctx, chromedp.EmulateViewport(r.Width, r.Height))
	case "type":
		return answer{}, chromedp.Do(ctx, chromedp.KeyEvent(r.Text))
	case "press":
		return answer{}, errors.Join(
			call(ctx, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: r.Text, Text: r.Text}),
			call(ctx, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyUp, Key: r.Text}))
	case "shot":
		png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
		return answer{PNG: png}, err
	case "said":
		t.mu.Lock()
		defer t.mu.Unlock()
		return answer{Said: slices.Clone(t.said)}, nil
	}
	return answer{}, fmt.Errorf("there is no operation %q", r.Op)
}

// open opens a tab and records its console, where the browser reports violations of the
// content security policy.
func (b *browser) open() (answer, error) {
	ctx, _ := chromedp.NewContext(b.ctx) // ends with the browser's context
	t := &tab{ctx: ctx}
	if err := chromedp.Do(ctx); err != nil {
		return answer{}, fmt.Errorf("opening a tab: %w", err)
	}
	if err := chromedp.Listen(ctx, t.hear); err != nil {
		return answer{}, err
	}
	b.tabs = append(b.tabs, t)
	return answer{Tab: len(b.tabs)}, errors.Join(call(ctx, log.Enable, cdp.Empty{}), call(ctx, runtime.Enable, cdp.Empty{}))
}

// call sends a command of the protocol.
func call[P, R any](ctx context.Context, command cdp.Command[P, R], params P) error {
	return chromedp.Do(ctx, func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, target, command, params)
		return chromedp.Void{}, err
	})
}

func (t *tab) hear(event any) {
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
