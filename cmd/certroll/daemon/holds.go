package daemon

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
)

// wait is a hold as logged.
type wait struct {
	what  string
	level slog.Level
}

// group is a hold of several certificates.
type group struct {
	first        *plan.Action
	certificates int
	last         time.Time
}

// groupOf names the cause that holds an action together with others; "" if the hold is
// its own.
func groupOf(a *plan.Action) string {
	if a.Reason == ledger.ReasonSpread {
		return string(a.Reason)
	}
	return string(a.HeldBy)
}

// logHolds logs new and changed holds, and their end. A certificate that waits with others
// is logged at debug level: their common cause has its own line.
func (d *decisions) logHolds(standing []plan.Action) {
	waits, groups := map[string]wait{}, map[string]*group{}
	for i := range standing {
		a := &standing[i]
		if a.Kind != ledger.KindHold {
			continue
		}
		until := a.NotBefore.UTC().Format(time.RFC3339)
		w := wait{what: string(a.Wants) + " " + string(a.Reason) + " " + until}
		if by := groupOf(a); by != "" {
			// The members' times move with each pass.
			w = wait{what: string(a.Wants) + " " + by, level: slog.LevelDebug}
			join(groups, by, a)
		}
		if waits[a.Certificate] = w; d.waits[a.Certificate] != w {
			d.log.Log(context.Background(), w.level, "held", "certificate", a.Certificate, "operation", string(a.Wants),
				"reason", string(a.Reason), "until", until, "detail", a.Detail)
		}
	}
	for _, name := range gone(d.waits, waits) {
		d.log.Log(context.Background(), d.waits[name].level, "held no more", "certificate", name)
	}
	d.waits = waits
	d.together(groups)
}

// join adds an action to its group.
func join(groups map[string]*group, by string, a *plan.Action) {
	g := groups[by]
	if g == nil {
		g = &group{first: a}
		groups[by] = g
	}
	if g.certificates++; a.NotBefore.After(g.last) {
		g.last = a.NotBefore
	}
}

// together logs the beginning and end of holds of several certificates.
func (d *decisions) together(groups map[string]*group) {
	now := map[string]bool{}
	for _, by := range slices.Sorted(maps.Keys(groups)) {
		if now[by] = true; d.groups[by] {
			continue
		}
		g := groups[by]
		d.log.Warn("held together", "subject", by, "reason", string(g.first.Reason), "certificates", g.certificates,
			"until", g.last.UTC().Format(time.RFC3339), "detail", g.first.Detail)
	}
	for _, by := range gone(d.groups, now) {
		d.log.Info("held together no more", "subject", by, "detail", "its certificates continue")
	}
	d.groups = now
}

// breakers logs the issuers and DNS accounts that a breaker newly holds, and those that
// it admits again.
func (d *decisions) breakers(tripped []plan.Tripped) {
	now := map[string]bool{}
	for _, t := range tripped {
		if now[t.Subject] = true; !d.tripped[t.Subject] {
			d.log.Error("tripped", "subject", t.Subject, "class", string(t.Class), "since", t.Since.UTC().Format(time.RFC3339),
				"certificates", t.Certificates, "message", t.Message)
		}
	}
	for _, s := range gone(d.tripped, now) {
		d.log.Info("admitted", "subject", s, "detail", "it works again, or its credentials changed: its certificates continue")
	}
	d.tripped = now
}

// gone returns the keys of was that are not in now, sorted.
func gone[V, W any](was map[string]V, now map[string]W) []string {
	var keys []string
	for _, k := range slices.Sorted(maps.Keys(was)) {
		if _, is := now[k]; !is {
			keys = append(keys, k)
		}
	}
	return keys
}
