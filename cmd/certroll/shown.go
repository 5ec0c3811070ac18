package main

import (
	"context"
	"errors"
	"io/fs"
	"sync/atomic"
	"time"

	"certroll/cmd/certroll/page"
	"certroll/gitsync"
	"certroll/reconcile"
)

// opened is the ledger from when it is open on: the page is served before.
type opened struct {
	ledger atomic.Pointer[gitsync.Ledger]
}

func (o *opened) Snapshot(ctx context.Context) (fs.FS, string, error) {
	if l := o.ledger.Load(); l != nil {
		return l.Snapshot(ctx)
	}
	return nil, "", errors.New("the ledger is not open yet")
}

// shown is what the status page is told after a pass.
func (d *daemon) shown(p reconcile.Pass, now time.Time) page.Input {
	in := page.Input{
		Records: p.Records, Standing: p.Standing, Tripped: p.Tripped, Newest: d.newest,
		Pass: &page.Pass{Ended: now, Next: p.Next, SeenAt: now},
	}
	if p.Err != nil {
		in.Pass.Error = p.Err.Error()
	}
	if d.good != nil {
		in.Revision = &page.Revision{Commit: d.good.Commit, Author: d.good.Author, At: d.takenAt}
	}
	if p.Unanchored != nil {
		in.Troubles = append(in.Troubles, p.Unanchored.Error())
	}
	if !p.Rewound.IsZero() {
		in.Troubles = append(in.Troubles, "the ledger was found rewritten at "+p.Rewound.UTC().Format(time.RFC3339)+"; certroll audit verify tells more")
	}
	return in
}
