package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"certroll/cmd/certroll/page"
)

// slowAnswer is the response time of the hostile CA. It is shorter than certroll's timeout for one call, so no single
// call fails.
const slowAnswer = 25 * time.Second

// lateAnswers delays each call and then passes it on to the CA.
func lateAnswers(_ http.ResponseWriter, req *http.Request) bool {
	body, _ := io.ReadAll(req.Body) // net/http notices a disconnect only after the body was read
	req.Body = io.NopCloser(bytes.NewReader(body))
	select {
	case <-time.After(slowAnswer): // at the end of the test the client disconnects before that
	case <-req.Context().Done():
	}
	return req.Context().Err() != nil
}

// drips starts a response and sends a byte of it now and then, without end.
func drips(rw http.ResponseWriter, req *http.Request) bool {
	rw.Header().Set("Content-Type", "application/json")
	out := http.NewResponseController(rw)
	for {
		if _, err := fmt.Fprint(rw, " "); err != nil || out.Flush() != nil {
			return true
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-req.Context().Done():
			return true
		}
	}
}

// TestSlowCAHoldsUpNobody: a hostile CA delays certroll. A certificate for another CA, declared meanwhile, is issued
// and recorded, the page shows the certificate at work, and SIGTERM ends certroll.
func TestSlowCAHoldsUpNobody(t *testing.T) {
	sideBySide(t, map[string]func(*testing.T, *world){
		"from the first call on": func(t *testing.T, l *world) { slowCA(t, l, "late", lateAnswers, "account") },
		"in each authorization":  func(t *testing.T, l *world) { slowCA(t, l, "authz", only(permission, lateAnswers), "order") },
		"a byte at a time":       func(t *testing.T, l *world) { slowCA(t, l, "drips", drips, "account") },
	})
}

// only limits a fault to requests for one resource.
func only(path string, wrong caFault) caFault {
	return func(rw http.ResponseWriter, req *http.Request) bool {
		return strings.HasPrefix(req.URL.Path, path) && wrong(rw, req)
	}
}

func slowCA(t *testing.T, l *world, id string, wrong caFault, step string) {
	f := newFront(t, l.pebble)
	f.breaks(wrong)
	here := *l
	here.prefix = "certroll-slow-" + id
	block := func(name, issuer string) string {
		return strings.NewReplacer(`"api"`, `"`+name+"-"+id+`"`, "api.lab.test", name+"-"+id+".lab.test", "issuer.pebble", "issuer."+issuer).Replace(oneCertificate)
	}
	straggler := block("straggler", "slow")
	w := here.fresh(t, map[string]string{"slow.hcl": straggler})
	w.settings(fmt.Sprintf("interval = \"1s\"\nlisten = \"127.0.0.1:0\"\nissuer \"slow\" {\n  directory = %q\n  email = \"ops@example.com\"\n  terms_of_service_agreed = true\n  ca_bundle = <<-PEM\n%s\n  PEM\n}\n",
		"https://"+f.addr+"/dir", pemOf(f.server.Certificate())))
	cmd, out := w.startRun()
	w.until("the address", out, func() bool { return strings.Contains(out.String(), "msg=listening") })
	home := "http://" + regexp.MustCompile(`msg=listening address=(\S+)`).FindStringSubmatch(out.String())[1]
	working := func() []page.Work {
		resp, err := http.Get(home + "/status.json")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var status page.Status
		if err := json.NewDecoder(resp.Body).Decode(&status); err != nil {
			t.Fatal(err)
		}
		return status.AtWork
	}
	w.until("who is at work", out, func() bool {
		at := working()
		return len(at) == 1 && at[0].Certificate == "straggler-"+id && at[0].Operation == "issue" && at[0].Step == step && time.Since(at[0].Since) < time.Minute
	})

	began := time.Now()
	w.push(map[string]string{"slow.hcl": straggler, "api.hcl": block("api", "pebble")}, "Declare another")
	w.until("the certificate of the other CA", out, func() bool { return w.countEvents("issue", "success") == 1 })
	t.Logf("issued and in the ledger %s after the push", time.Since(began).Round(time.Millisecond))
	if e := w.events()[0]; e.Certificate != "api-"+id {
		t.Errorf("event: %+v", e)
	}
	if !strings.Contains(out.String(), "msg=action certificate=api-"+id) {
		t.Errorf("the log does not say so:\n%s", out)
	}
	if at := working(); len(at) != 1 || at[0].Certificate != "straggler-"+id {
		t.Errorf("at work: %+v", at)
	}

	began = time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v:\n%s", err, out)
	}
	if took := time.Since(began); took > slowAnswer/2 {
		t.Errorf("it took %s to end", took)
	}
	if n := w.countEvents("issue", "failure"); n != 0 {
		t.Errorf("%d failures are told", n)
	}
	f.mend()
	cmd, out = w.startRun()
	w.until("the straggler's certificate", out, func() bool { return w.countEvents("issue", "success") == 2 })
	w.stopRun(cmd, out)
}
