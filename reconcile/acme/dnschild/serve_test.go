package dnschild

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"certroll/reconcile/acme/dnswire"

	"github.com/go-acme/lego/v4/challenge"
)

// broken is a provider that panics.
type broken struct{}

func (broken) Present(string, string, string) error { panic("no such zone") }
func (broken) CleanUp(string, string, string) error { return errors.New("no such record") }

// conversation runs the server in this process and sends it one request at a time.
func conversation(t *testing.T, o Options) func(dnswire.Request) dnswire.Answer {
	t.Helper()
	in, requests := io.Pipe()
	answers, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := Serve(t.Context(), in, out, o)
		_ = out.Close()
		ended <- err
	}()
	t.Cleanup(func() {
		_ = requests.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	write, read := json.NewEncoder(requests), bufio.NewScanner(answers)
	return func(r dnswire.Request) (a dnswire.Answer) {
		t.Helper()
		if err := write.Encode(r); err != nil {
			t.Fatal(err)
		}
		if !read.Scan() {
			t.Fatal("no answer")
		}
		if err := json.Unmarshal(read.Bytes(), &a); err != nil || a.ID != r.ID {
			t.Fatalf("the answer %s to request %d: %v", read.Bytes(), r.ID, err)
		}
		return a
	}
}

func TestServe(t *testing.T) {
	t.Setenv("LEGO_DISABLE_CNAME_SUPPORT", "") // an open request sets this variable
	var opened []string
	ask := conversation(t, Options{Version: "v1.2.3", Open: func(code string) (challenge.Provider, error) {
		opened = append(opened, code)
		if code == "gone" {
			return nil, errors.New("unrecognized DNS provider: gone")
		}
		return broken{}, nil
	}})
	if a := ask(dnswire.Request{ID: 1, Op: dnswire.OpHello}); a.Program != dnswire.Program || a.Version != "v1.2.3" || a.Protocol != dnswire.Protocol {
		t.Errorf("it says that it is %+v", a)
	}
	if a := ask(dnswire.Request{ID: 2, Op: dnswire.OpPresent}); !strings.Contains(a.Error, "no provider is open") {
		t.Errorf("without a provider: %+v", a)
	}
	other := dnswire.Request{ID: 3, Op: dnswire.OpOpen, Protocol: dnswire.Protocol + 1, Provider: "some"}
	if a := ask(other); a.Protocol != dnswire.Protocol || len(opened) > 0 {
		t.Errorf("a parent of another protocol gets %+v, and %q opened", a, opened)
	}
	open := func(id int, code string) dnswire.Answer {
		return ask(dnswire.Request{ID: id, Op: dnswire.OpOpen, Protocol: dnswire.Protocol, Provider: code})
	}
	if a := open(4, "gone"); !strings.Contains(a.Error, "unrecognized") || a.Protocol != dnswire.Protocol {
		t.Errorf("a provider that there is not: %+v", a)
	}
	if a := open(5, "some"); a.Error != "" || a.Sequential {
		t.Errorf("opening: %+v", a)
	}
	if a := open(6, "some"); !strings.Contains(a.Error, "cannot be opened here") {
		t.Errorf("opening a second one: %+v", a)
	}
	change := dnswire.Request{ID: 7, Op: dnswire.OpPresent, Domain: "a.test", KeyAuth: "key", Name: "elsewhere.test."}
	if a := ask(change); !strings.Contains(a.Error, "led to elsewhere.test.") {
		t.Errorf("at another name than the parent's: %+v", a)
	}
	change.ID, change.Name = 8, "_acme-challenge.a.test."
	if a := ask(change); !strings.Contains(a.Error, "the provider panicked: no such zone") {
		t.Errorf("a provider that panics: %+v", a)
	}
	change.ID, change.Op = 9, dnswire.OpCleanup
	if a := ask(change); a.Error != "no such record" {
		t.Errorf("a provider that fails: %+v", a)
	}
}

func TestServeGarbage(t *testing.T) {
	if err := Serve(t.Context(), strings.NewReader("certroll?\n"), io.Discard, Options{}); err == nil || !strings.Contains(err.Error(), "reading a request") {
		t.Errorf("a line that is no request: %v", err)
	}
	if err := Serve(t.Context(), strings.NewReader(strings.Repeat("x", dnswire.MaxLine+1)), io.Discard, Options{}); !errors.Is(err, bufio.ErrTooLong) {
		t.Errorf("a line without an end: %v", err)
	}
}
