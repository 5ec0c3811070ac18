package ask

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/view"
	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
)

// Commands are the commands that read the ledger.
type Commands struct {
	*console.Console
	LoadSettings func() (*settings.Settings, error)
	Logger       func(*settings.Settings) (*slog.Logger, error)
}

// ledger reads the ledger and its records. It reports unreadable parts on stderr and
// continues.
func (a *Commands) ledger(ctx context.Context) (fs.FS, map[string]*ledger.Record, error) {
	s, err := a.LoadSettings()
	if err != nil {
		return nil, nil, err
	}
	return a.ledgerOf(ctx, s)
}

func (a *Commands) ledgerOf(ctx context.Context, s *settings.Settings) (fs.FS, map[string]*ledger.Record, error) {
	ledger, err := s.OpenLedger("")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = ledger.Close() }()
	tree, _, err := ledger.Snapshot(ctx)
	if err != nil {
		return nil, nil, err
	}
	records, lost, err := archive.ReadLedger(ctx, tree, ledger, time.Now())
	view.WriteUnreadable(a.Err, lost)
	return tree, records, err
}

// parseSince parses a duration before now, or a date.
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
