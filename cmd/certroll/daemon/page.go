package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"certroll/cmd/certroll/page"
	"certroll/gitsync"
	"certroll/reconcile"
	"certroll/reconcile/plan"
)

// opened is the ledger once it is open. The page is served earlier.
type opened struct {
	ledger atomic.Pointer[gitsync.Ledger]
}

// Snapshot implements page's ledger: an error until the ledger is open.
func (o *opened) Snapshot(ctx context.Context) (fs.FS, string, error) {
	if l := o.ledger.Load(); l != nil {
		return l.Snapshot(ctx)
	}
	return nil, "", errors.New("the ledger is not open yet")
}

// shown returns the status page's input after a pass.
func (d *daemon) shown(p reconcile.Pass, now time.Time) page.Input {
	in := page.Input{
		Records: p.Records, Actions: p.After.Actions, Tripped: p.Tripped, Newest: (*page.NotTaken)(d.repo.Newest),
		Pass: &page.Pass{Ended: now, Next: p.Next, SeenAt: now},
	}
	if p.Err != nil {
		in.Pass.Error = p.Err.Error()
	}
	if d.repo.Good != nil {
		in.Revision = &page.Revision{Commit: d.repo.Good.Commit, Author: d.repo.Good.Author, At: d.repo.TakenAt}
	}
	in.Settings = &page.Settings{ReadAt: d.reload.at.UTC().Truncate(time.Second), Notes: d.reload.notes()}
	for _, o := range p.Outages {
		if o.Side == "state_dir" && p.Disk != nil {
			continue // p.Disk says more
		}
		in.Faults = append(in.Faults, outageText(o))
	}
	if p.Disk != nil {
		in.Faults = append(in.Faults, p.Disk.Error())
	}
	if p.Unanchored != nil {
		in.Faults = append(in.Faults, p.Unanchored.Error())
	}
	if n := len(p.Unreadable); n > 0 {
		in.Faults = append(in.Faults, fmt.Sprintf("%s cannot be read (%d in all); certroll audit verify lists what", p.Unreadable[0].Where()+" in the ledger", n))
	}
	if !p.Rewound.IsZero() {
		in.Faults = append(in.Faults, "the ledger was found rewritten at "+p.Rewound.UTC().Format(time.RFC3339)+"; certroll audit verify shows the commit to push back, or to accept")
	}
	if set := plan.MassHold(p.After.Actions); set != nil {
		in.Faults = append(in.Faults, "held until a person accepts it: "+set.Summary()+"; where that is meant: certroll accept --missing "+set.ID)
	}
	return in
}

// outageText describes an outage of one side.
func outageText(o reconcile.Outage) string {
	return "passes cannot do their work with " + o.Side + " since " + o.Since.UTC().Format(time.RFC3339)
}
