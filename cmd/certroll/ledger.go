package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/settings"
	"certroll/reconcile"
)

// ledger reads the ledger and its records. What cannot be read is named on
// stderr, and stops nothing.
func (a *app) ledger(ctx context.Context) (fs.FS, map[string]*reconcile.Record, error) {
	s, err := a.settings()
	if err != nil {
		return nil, nil, err
	}
	return a.ledgerOf(ctx, s)
}

func (a *app) ledgerOf(ctx context.Context, s *settings.Settings) (fs.FS, map[string]*reconcile.Record, error) {
	ledger, err := s.OpenLedger("")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = ledger.Close() }()
	tree, _, err := ledger.Snapshot(ctx)
	if err != nil {
		return nil, nil, err
	}
	records, lost, err := reconcile.ReadLedger(ctx, tree, ledger)
	warnUnreadable(&a.Console, lost)
	return tree, records, err
}

// ledgerAlone opens the ledger for what a person's command writes into it: no Vault and
// no CA is asked. giveBack closes it.
func ledgerAlone(s *settings.Settings) (r *reconcile.Reconciler, giveBack func(), err error) {
	ledger, err := s.WriteLedger("")
	if err != nil {
		return nil, nil, err
	}
	r = reconcile.New(&reconcile.Observer{}, nil, nil, ledger, noJournal{}, reconcile.Options{})
	return r, func() { _ = ledger.Close() }, nil
}

// warnUnreadable names what of the ledger cannot be read.
func warnUnreadable(c *console.Console, lost []reconcile.Breach) {
	for _, f := range lost {
		fmt.Fprintf(c.Err, "Warning: %s in the ledger: %s\n", f.Where(), f.Problem)
	}
}

// person is who runs the command, for the audit log.
func (a *app) person() string {
	if p := strings.TrimSpace(a.Getenv("CERTROLL_ACTOR")); p != "" {
		return p
	}
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}

// parseSince reads the moment that a duration before now or a date means.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n < 100_000 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--since %q is neither a duration (24h, 7d) nor a date (2026-11-25, 2026-11-25T10:00:00Z)", text)
}
