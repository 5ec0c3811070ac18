package main

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"certroll/cmd/certroll/view"
	"certroll/examples/lab"
)

// TestRetryBesideRun: the daemon has the journal open and holds a certificate. After a person has fixed the cause,
// `certroll retry` ends the hold and the daemon issues at once.
func TestRetryBesideRun(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.settings(`interval = "1s"`)
	w.dns.FailUpdates(lab.Refuse)
	cmd, out := w.startRun()
	w.until("the failure", out, func() bool { return w.countEvents("issue", "failure") == 1 })
	updates := w.dns.Updates()

	if said := w.certroll(1, "status", "api"); !strings.Contains(said, "REFUSED") || !strings.Contains(said, "waits until") {
		t.Errorf("status:\n%s", said)
	}
	if e := w.explain(); !e.HeldBack || e.Plan.Waiting != "issue" || e.Plan.Reason != "backoff" || !decides(e, "missing") {
		t.Errorf("explain: %+v", e)
	}
	w.dns.FailUpdates(lab.None)
	w.env = []string{"CERTROLL_ACTOR=ann@example.com"}
	w.certroll(0, "retry", "api", "-reason", "the server is mended")
	w.until("the certificate", out, func() bool { return w.countEvents("issue", "success") == 1 })
	w.checkPair("tls/api", "api.lab.test")
	if w.dns.Updates() == updates {
		t.Error("it was issued without the DNS")
	}
	w.stopRun(cmd, out)

	// Ignore the findings of run's own examination.
	e := slices.DeleteFunc(w.events(), func(e auditEvent) bool { return e.Operation == "doctor" })
	if len(e) != 3 || e[1].Operation != "retry" || e[1].Actor != "ann@example.com" || e[1].Reason != "retry" || e[2].Status != "success" {
		t.Errorf("events: %+v", e)
	}
	w.tellsTheStory()
	if said := w.certroll(0, "audit", "verify"); !strings.Contains(said, "In order: ") {
		t.Errorf("audit verify:\n%s", said)
	}
}

// decides reports whether this rule made the decision.
func decides(e view.Explanation, rule string) bool {
	return slices.ContainsFunc(e.Rules, func(r view.Rule) bool { return r.Rule == rule && r.Decides })
}

// tellsTheStory checks the output of status and explain about the live certificate.
func (w *world) tellsTheStory() {
	w.t.Helper()
	var s view.Status
	if err := json.Unmarshal([]byte(w.certroll(0, "status", "api", "-json")), &s); err != nil {
		w.t.Fatal(err)
	}
	live := s.Certificates[0].Live
	if s.Story == nil || len(s.Story.Failures) != 1 || s.Story.Failures[0].DNSAccount != "lab" || s.Story.LastRenewal == nil ||
		s.Story.LastRenewal.NewSerial != live.Serial || s.Story.LastRenewal.Reason != "missing" || s.Story.Standing != "in_order" || s.Story.NextBy == "" {
		w.t.Errorf("story: %+v", s.Story)
	}
	said := w.certroll(0, "status", "api")
	for _, part := range []string{live.Serial, live.KeyDigest, "(0 days)", "secret/tls/api version 1", "DNS account   lab", "last renewal", "REFUSED"} {
		if !strings.Contains(said, part) {
			w.t.Errorf("status api does not say %q:\n%s", part, said)
		}
	}
	if e := w.explain(); e.HeldBack || e.Plan.Action != "none" || e.Plan.Reason != "up_to_date" || e.Rules[0].Hit {
		w.t.Errorf("explain: %+v", e)
	}
	if said := w.certroll(0, "explain", "api"); !strings.Contains(said, "nothing to do until") || !strings.Contains(said, `Decided by "up to date"`) {
		w.t.Errorf("explain:\n%s", said)
	}
	w.says("explain apy", `neither the spec nor the ledger has a certificate "apy"`)
}

// explain runs certroll explain with a token that can only read metadata.
func (w *world) explain() view.Explanation {
	w.t.Helper()
	rules, err := os.ReadFile("../../examples/vault-policies/plan.hcl")
	if err != nil {
		w.t.Fatal(err)
	}
	was := w.token
	w.token = newToken(w.t, w.vault, "plan", string(rules))
	defer func() { w.token = was }()
	var e view.Explanation
	if err := json.Unmarshal([]byte(w.certroll(0, "explain", "api", "-json")), &e); err != nil {
		w.t.Fatal(err)
	}
	return e
}

// TestRewrittenBesideRun: while the daemon has the ledger's cache locked, another command still detects a rewritten
// ledger, and the next apply records it.
func TestRewrittenBesideRun(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.settings(`interval = "1h"`)
	cmd, out := w.startRun()
	w.settled(out, "api")
	w.certroll(0, "audit", "verify")
	seen := w.git("rev-parse", "certroll/status")
	w.git("update-ref", "refs/heads/certroll/status", w.git("commit-tree", "-m", "Anew", w.git("rev-parse", "certroll/status^{tree}")))
	w.says("audit verify", "the branch was moved back, rewritten or deleted", "Not in order: 1 finding: ")
	w.stopRun(cmd, out)
	w.certroll(0, "apply", "-auto-approve")
	rewound := func() []auditEvent {
		return slices.DeleteFunc(w.events(), func(e auditEvent) bool { return e.Reason != "ledger_rewound" })
	}
	if e := rewound(); len(e) != 1 || e[0].Status != "failure" || !strings.Contains(e[0].Message, seen) {
		t.Errorf("events: %+v", e)
	}
	w.certroll(0, "apply", "-auto-approve")
	if e := rewound(); len(e) != 1 {
		t.Errorf("it is told again: %+v", e)
	}
	w.says("audit verify", seen, "certroll audit accept "+seen)
	w.certroll(0, "audit", "accept", seen)
	w.certroll(0, "audit", "verify")
}
