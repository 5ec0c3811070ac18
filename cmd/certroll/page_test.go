package main

import (
	"encoding/json"
	"errors"
	"html"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"certroll/cmd/certroll/page/pagetest"
	"certroll/examples/lab"
)

// alsoFailing is a second certificate that belongs to another team.
const alsoFailing = `
certificate "web" {
  domains = ["web.lab.test"]
  issuer  = issuer.pebble
  dns     = dns.lab
  labels  = { team = "edge" }
}
`

// TestStatusPage: a browser shows run's page, which agrees with the ledger. Changes appear by themselves, and the page
// is complete without scripts.
func TestStatusPage(t *testing.T) {
	t.Parallel()
	browser := pagetest.Start(t)
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.settings("interval = \"1s\"\nlisten = \"127.0.0.1:0\"")
	cmd, out := w.startRun()
	w.until("the certificate", out, func() bool { return w.countEvents("issue", "success") == 1 })
	w.dns.FailUpdates(lab.Refuse)
	w.push(map[string]string{"certs.hcl": oneCertificate + alsoFailing}, "Declare another")
	w.until("the failure", out, func() bool { return w.countEvents("issue", "failure") == 1 })
	home := "http://" + regexp.MustCompile(`msg=listening address=(\S+)`).FindStringSubmatch(out.String())[1] + "/"
	tab := browser.Tab(t)

	t.Run("as the ledger says", func(t *testing.T) {
		tab.Open(home)
		tab.Until(`document.querySelector('#rows a[href="certificates/web"]')?.closest("tr").querySelector(".state").textContent === "failing"`)
		api, web := w.record("api"), w.record("web")
		rows := pagetest.Eval[[]map[string]string](tab, `[...document.querySelectorAll("#rows tbody tr")].map((r) => ({
			name: r.querySelector("th a").textContent, state: r.querySelector(".state").textContent,
			expires: r.querySelector(".expires time")?.dateTime ?? "", renews: r.querySelector(".renews time")?.dateTime ?? "", note: r.querySelector(".said")?.textContent ?? ""}))`)
		if len(rows) != 2 || rows[0]["name"] != "web" || rows[1]["name"] != "api" {
			t.Fatalf("what fails does not stand first: %v", rows)
		}
		if r := rows[0]; r["expires"] != "" || r["note"] != web.LastFailure.Cause() {
			t.Errorf("web: %v, and the ledger says %q", r, web.LastFailure.Message)
		}
		if r := rows[1]; r["state"] != "in order" || r["expires"] != api.Live.NotAfter.UTC().Format(time.RFC3339) || r["renews"] != api.RenewAt.UTC().Format(time.RFC3339) {
			t.Errorf("api: %v, and the ledger says %v, %v", r, api.Live.NotAfter, api.RenewAt)
		}
		tab.Open(home + "certificates/api")
		text := strings.ReplaceAll(tab.Text(), " ", "")
		for _, part := range []string{api.Live.Serial, api.Live.KeyDigest, "secret/tls/api", "issuesuccess"} {
			if !strings.Contains(text, part) {
				t.Errorf("the page of api does not say %q:\n%s", part, tab.Text())
			}
		}
		tab.Open(home + "certificates/web")
		if text := tab.Text(); !strings.Contains(text, web.LastFailure.Message) || !strings.Contains(text, string(web.LastFailure.Class)) {
			t.Errorf("the page of web does not say %q:\n%s", web.LastFailure.Message, text)
		}
		tab.Silent()
	})
	t.Run("without scripts", func(t *testing.T) {
		plain := browser.Tab(t)
		plain.Scripts(false)
		for filter, want := range map[string]string{"q=web": "web", "team=edge": "web", "label=team%3Dedge": "web", "state=in_order": "api", "issuer=pebble": "web api", "q=nothing": ""} {
			plain.Open(home + "?" + filter)
			got := strings.Join(pagetest.Eval[[]string](plain, `[...document.querySelectorAll("#rows th.what > a")].map((a) => a.textContent)`), " ")
			if got != want {
				t.Errorf("%s shows %q, want %q", filter, got, want)
			}
		}
		plain.Silent()
	})
	t.Run("live", func(t *testing.T) {
		tab.Open(home)
		tab.Until(`document.getElementById("pulse").textContent === "live"`)
		_ = pagetest.Eval[bool](tab, `window.neverLoadedAgain = true`)
		_ = pagetest.Eval[bool](tab, `document.getElementById("q").focus() ?? true`)
		tab.Type("lab.test")
		tab.Until(`document.querySelectorAll("#rows tbody tr").length === 2 && location.search === "?q=lab.test"`)
		w.dns.FailUpdates(lab.None)
		w.certroll(0, "retry", "web", "-reason", "the server is mended")
		tab.Until(`[...document.querySelectorAll("#rows .state")].map((s) => s.textContent).join() === "in order,in order"`)
		if !pagetest.Eval[bool](tab, `window.neverLoadedAgain === true && document.activeElement.id === "q" && document.activeElement.value === "lab.test"`) {
			t.Error("the page was loaded again, or what was being typed is lost")
		}
		tab.Silent()
	})
	t.Run("a revision with a mistake", func(t *testing.T) {
		w.push(map[string]string{"certs.hcl": oneCertificate + alsoFailing + `certificate "web" {}`}, "Make a mistake")
		tab.Until(`document.querySelector(".alert")?.textContent.includes("was refused")`)
		tab.Silent()
	})
	t.Run("as files", func(t *testing.T) {
		dir := filepath.Join(w.dir, "pages of [certroll]")
		if said := w.certroll(0, "status", "-html", dir); !strings.Contains(said, "2 certificates") {
			t.Errorf("it says %s", said)
		}
		files := httptest.NewServer(http.FileServer(http.Dir(dir)))
		defer files.Close()
		copied := browser.Tab(t)
		copied.Open(files.URL + "/")
		_ = pagetest.Eval[bool](copied, `document.getElementById("q").focus() ?? true`)
		copied.Type("web.lab")
		copied.Until(`document.querySelectorAll("#rows tbody tr").length === 1`)
		copied.Open(pagetest.Eval[string](copied, `document.querySelector("#rows tbody a").href`))
		if text := copied.Text(); !strings.Contains(text, "issue success") || !strings.Contains(text, "A copy, written") {
			t.Errorf("the page of web says:\n%s", text)
		}
		copied.Silent()
		if err := os.WriteFile(filepath.Join(dir, "certificates", "gone.html"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		w.certroll(0, "status", "-html", dir)
		if _, err := os.Stat(filepath.Join(dir, "certificates", "gone.html")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the page of a certificate that is gone: %v", err)
		}
		if said := w.certroll(1, "status", "-html", w.dir); !strings.Contains(said, "name a directory of its own") {
			t.Errorf("it says %s", said)
		}
	})
	answer, err := http.Get(home + "status.json")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var s struct {
		Certificates []struct{ Certificate, Serial string }
	}
	if err := json.NewDecoder(answer.Body).Decode(&s); err != nil || len(s.Certificates) != 2 {
		t.Errorf("status.json: %v, %+v", err, s)
	}
	w.noSecrets(html.UnescapeString(pagetest.Eval[string](tab, "document.documentElement.outerHTML")))
	w.stopRun(cmd, out)
}
