package page

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"certroll/cmd/certroll/page/pagetest"
)

// TestScript checks the page's script in a browser, in addition to TestStatusPage.
func TestScript(t *testing.T) {
	in := ten()
	in.Pass.Error = "Vault is sealed"
	s, _ := serving(t, in)
	var once sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/events" {
			once.Do(func() { s.Passed(in) }) // between loading the page and the script's subscription
		}
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	tab := pagetest.Start(t).Tab(t)
	tab.Open(server.URL)
	tab.Until(`document.getElementById("pulse").textContent === "live"`)
	tab.Until(`document.body.dataset.pass === "2"`) // the script missed no event

	at := func() string {
		return pagetest.Eval[string](tab, `document.activeElement.id || document.activeElement.textContent`)
	}
	for _, step := range []struct{ key, to string }{{"j", "api"}, {"j", "mail"}, {"j", "pay"}, {"k", "mail"}, {"k", "api"}, {"k", "api"}, {"/", "q"}} {
		if tab.Press(step.key); at() != step.to {
			t.Errorf("%s leads to %q, want %q", step.key, at(), step.to)
		}
	}
	_ = pagetest.Eval[bool](tab, `document.querySelector(".alert").here = true`)
	tab.Type("j/k")
	tab.Until(`document.querySelector("#rows .empty")`)
	if typed := pagetest.Eval[string](tab, `document.getElementById("q").value`); typed != "j/k" {
		t.Errorf("typing into the search makes %q", typed)
	}
	if !pagetest.Eval[bool](tab, `document.querySelector(".alert").here === true`) {
		t.Error("typing makes the alert anew, so that it is said again")
	}

	// On a phone the filters are folded unless one is active, and nothing is wider than the screen.
	phone := tab
	phone.Size(400, 900)
	for address, open := range map[string]bool{"": false, "/?team=shop": true} {
		phone.Open(server.URL + address)
		if got := pagetest.Eval[bool](phone, `document.getElementById("fold").open`); got != open {
			t.Errorf("%q: the filters are open: %v", address, got)
		}
		if wide := pagetest.Eval[float64](phone, `document.documentElement.scrollWidth`); wide > 400 {
			t.Errorf("%q is %v pixels wide", address, wide)
		}
	}
	phone.Size(1280, 900)
	tab.Open(server.URL)
	tab.Until(`document.getElementById("pulse").textContent === "live"`)

	// A hidden tab has no connection and misses nothing.
	standBehind := func(is string) {
		_ = pagetest.Eval[bool](tab, `Object.defineProperty(document, "hidden", {value: `+is+`, configurable: true}).dispatchEvent(new Event("visibilitychange"))`)
	}
	standBehind("true")
	for deadline := time.Now().Add(time.Minute); s.bell.listening() > 0; {
		if time.Now().After(deadline) {
			t.Fatal("it holds its connection")
		}
		_ = tab.Text() // gives the server time to notice the disconnect
	}
	s.Passed(in)
	standBehind("false")
	tab.Until(`document.body.dataset.pass === "3"`)
	tab.Silent()
}

func (b *bell) listening() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.listeners)
}
