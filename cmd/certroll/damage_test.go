package main

import (
	"path/filepath"
	"strings"
	"testing"

	"certroll/examples/lab"
	"certroll/reconcile/ledger"
)

// TestADamagedLedgerStopsNothing: an attacker with push access replaces records, events and open problems by garbage.
// Every command continues and names the damage, earlier failures still count, and certroll writes the record again.
func TestADamagedLedgerStopsNothing(t *testing.T) {
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.settings("")
	w.certroll(0, "apply", "-auto-approve")
	was, record := w.serial("api"), w.record("api")
	branch := "certroll/status"
	file := strings.TrimSpace(w.git("ls-tree", "-r", "--name-only", branch, "audit/"))
	log := w.git("show", branch+":"+file)
	err := lab.Push(t.Context(), w.repo, branch, map[string]string{
		"certificates/api.json": "garbage", "certificates/zz.json": `{"schema": 99999}`, "certificates/dir.json/x": "",
		"doctor.json": "{", file: log + "\nx\n" + log[strings.LastIndex(strings.TrimSpace(log), "\n")+1:],
	}, "Damage it")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"certificates/api.json in the ledger", "certificates/zz.json in the ledger", "certificates/dir.json in the ledger"}
	for _, command := range []string{"plan", "status", "status api"} {
		out := w.certroll(0, strings.Fields(command)...)
		for _, name := range names {
			if !strings.Contains(out, name) {
				t.Errorf("certroll %s does not name %s:\n%s", command, name, out)
			}
		}
	}
	w.certroll(0, "retry", "api")
	w.certroll(0, "apply", "-auto-approve")
	w.stays("api", 1, was)
	if now := w.record("api"); now == nil || now.Live == nil || now.Live.Serial != record.Live.Serial {
		t.Errorf("the record is %+v", now)
	}
	warned := 0
	for line := range strings.Lines(w.git("show", branch+":"+file)) {
		if strings.Contains(line, string(ledger.ReasonDamaged)) {
			warned++
		}
	}
	if warned < 5 {
		t.Errorf("%d events tell of it", warned)
	}
	out := w.certroll(1, "audit", "verify")
	for _, name := range []string{"certificates/zz.json", "certificates/dir.json", "doctor.json", file} {
		if !strings.Contains(out, name) {
			t.Errorf("audit verify does not name %s:\n%s", name, out)
		}
	}
}

// TestDeletedRecordsEndNoBackoff: an attacker with push access deletes all records. Earlier failures still count, every
// command reports the deletion, and the next commit restores the records.
func TestDeletedRecordsEndNoBackoff(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.directory = "https://127.0.0.1:1/dir"
	w.settings("")
	w.says("apply --auto-approve", "api", "failed (ca_unavailable)", "1 failed")
	was := w.record("api")
	dir := filepath.Join(t.TempDir(), "ledger")
	for _, args := range [][]string{
		{"clone", "--quiet", "--branch=certroll/status", w.repo, dir}, {"-C", dir, "rm", "-r", "--quiet", "certificates"},
		{"-C", dir, "commit", "--quiet", "--message=Tidy"}, {"-C", dir, "push", "--quiet"},
	} {
		if _, err := lab.Git(t.Context(), "", args...); err != nil {
			t.Fatal(err)
		}
	}
	for command, code := range map[string]int{"plan": 0, "status api": 1} { // the certificate is failing
		out := w.certroll(code, strings.Fields(command)...)
		if !strings.Contains(out, "certificates/api.json in the ledger: it was deleted") || !strings.Contains(out, "waits until") {
			t.Errorf("certroll %s says:\n%s", command, out)
		}
	}
	w.certroll(0, "apply", "-auto-approve")
	attempts := 0
	for _, e := range w.events() {
		if e.Operation == string(ledger.KindIssue) {
			attempts++
		}
	}
	if now := w.record("api"); attempts != 1 || now == nil || now.Failures != was.Failures || now.Hold == nil || !now.Hold.Until.Equal(was.Hold.Until) {
		t.Errorf("%d attempts; the record is %+v, and was %+v", attempts, now, was)
	}
}
