package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"certroll/reconcile"
	"certroll/reconcile/archive"
	"certroll/reconcile/attempt"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
)

// decisions logs changes of state: one line when something begins, changes or ends,
// however many passes it lasts. docs/logs.md lists the lines.
type decisions struct {
	log *slog.Logger

	mu      sync.Mutex        // attempts end concurrently with passes
	planned map[string]string // by certificate: the logged plan
	waits   map[string]wait   // by certificate: the logged hold
	groups  map[string]bool   // logged holds of several certificates
	tripped map[string]bool   // logged issuers and DNS accounts held by a breaker
	// unrecorded has the ids of logged events that are not in the ledger or journal.
	unrecorded map[string]bool
	failures   map[string]string // by subject: the logged error
}

func newDecisions(log *slog.Logger) *decisions {
	return &decisions{log: log, planned: map[string]string{}, waits: map[string]wait{}, failures: map[string]string{}, unrecorded: map[string]bool{}}
}

// plan logs a pass's planned actions. An action that could not start, for example
// because another process holds the lease, is not logged again by the next pass.
func (d *decisions) plan(actions []plan.Action) {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := map[string]string{}
	for i := range actions {
		a := &actions[i]
		if a.Kind == ledger.KindNone || a.Kind == ledger.KindHold {
			continue
		}
		left[a.Certificate] = string(a.Kind) + " " + string(a.Reason)
		if a.AtWork != nil {
			continue // logged when planned
		}
		if d.planned[a.Certificate] != left[a.Certificate] {
			d.log.Info("planned", "certificate", a.Certificate, "operation", string(a.Kind), "reason", string(a.Reason), "detail", a.Detail)
		}
	}
	d.planned = left
}

// ended logs the result of an attempt.
func (d *decisions) ended(r attempt.Result) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.planned, r.Action.Certificate)
	if !d.again(r) {
		d.action(r)
	}
}

// pass logs the result of a pass.
func (d *decisions) pass(p reconcile.Pass) {
	d.failing("anchor", p.Unanchored)
	d.failing("ledger", unreadable(p.Unreadable))
	d.failing("disk", p.Disk)
	d.failing("pass", p.Err)
	if p.After.Observed == nil {
		return // the pass could not observe
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.logHolds(p.After.Actions)
	d.breakers(p.Tripped)
}

// unreadable returns an error that names the first unreadable part of the ledger; nil if
// there is none.
func unreadable(lost []archive.Breach) error {
	if len(lost) == 0 {
		return nil
	}
	return fmt.Errorf("%s in the ledger: %s (%d such in all); certroll audit verify lists them", lost[0].Where(), lost[0].Problem, len(lost))
}

// again reports whether a result was already logged: an event that could not be recorded
// comes back with each pass.
func (d *decisions) again(r attempt.Result) bool {
	said := d.unrecorded[r.Event.ID]
	if r.Unrecorded != nil {
		d.unrecorded[r.Event.ID] = true
	} else {
		delete(d.unrecorded, r.Event.ID)
	}
	return said
}

// action logs an attempt's result. It omits empty fields.
func (d *decisions) action(r attempt.Result) {
	e, level := r.Event, slog.LevelInfo
	if r.Err != nil || r.Unrecorded != nil {
		level = slog.LevelError
	}
	args := []any{"certificate", r.Action.Certificate, "operation", string(e.Operation), "status", string(e.Status), "reason", string(e.Reason)}
	for _, f := range []struct{ key, value string }{
		{"class", string(e.Class)}, {"message", e.Message}, {"severity", e.Severity}, {"issuer", e.Issuer}, {"dns_account", e.DNSAccount},
		{"passed_over", passedOver(e)}, {"vault_path", e.VaultPath}, {"serial", e.NewSerial}, {"old_serial", e.OldSerial},
	} {
		if f.value != "" {
			args = append(args, f.key, f.value)
		}
	}
	if e.VaultVer > 0 {
		args = append(args, "vault_version", e.VaultVer)
	}
	if e.Failures > 0 {
		args = append(args, "failures", e.Failures)
	}
	args = append(args, "duration_seconds", e.Duration)
	if r.Unrecorded != nil {
		args = append(args, "unrecorded", r.Unrecorded.Error())
	}
	d.log.Log(context.Background(), level, "action", args...)
}

func passedOver(e ledger.Event) string {
	names := make([]string, len(e.PassedOver))
	for i, p := range e.PassedOver {
		names[i] = p.Account
	}
	return strings.Join(names, ",")
}

// failing has two log lines by subject: for a failure and for its end.
var failing = map[string][2]string{
	"vault":    {"waiting for Vault", "Vault is there"},
	"settings": {"certroll.hcl on disk differs from the settings in use", "certroll.hcl on disk matches the settings in use"},
	"pull":     {"pull failed", "pull works again"},
	"keeping":  {"could not keep the last good revision on disk; will retry", "the last good revision is kept on disk again"},
	"pass":     {"pass failed", "pass works again"},
	"telling":  {"could not record the rejected revision in the ledger", "recorded the rejected revision in the ledger"},
	"served":   {"could not record the probe results in the ledger", "recorded the probe results in the ledger"},
	"ledger":   {"part of the ledger cannot be read; certroll skips it", "all of the ledger can be read again"},
	"disk":     {"the state directory cannot be written", "the state directory can be written again"},
	"anchor":   {"could not compare the ledger with its checkpoint in Vault", "certroll compares the ledger with its checkpoint in Vault again"},
}

// failing logs a failure once, logs it again if its error changes, and logs its end.
func (d *decisions) failing(what string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		if d.failures[what] != "" {
			d.log.Info(failing[what][1])
		}
		delete(d.failures, what)
		return
	}
	if said := withoutNumbers(err.Error()); d.failures[what] != said {
		d.log.Error(failing[what][0], "error", err)
		d.failures[what] = said
	}
}

// withoutNumbers removes digits from an error: ports, times and sizes differ between
// tries.
func withoutNumbers(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, s)
}
