package attempt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/ledger"
	"certroll/reconcile/recorder"
	"certroll/spec/text"
)

// reacher is implemented by a Vault client that can check whether Vault answers.
type reacher interface {
	Reach(ctx context.Context, mount string) error
}

// secondLook is the timeout of the check that confirms an absence.
const secondLook = 5 * time.Second

// IsAway reports whether err means that Vault as a whole is unusable. A single call that
// timed out proves nothing, so IsAway then checks Vault once more.
func (r *Means) IsAway(ctx context.Context, err error) bool {
	if !SaysAway(err) {
		return false
	}
	vault, ok := r.Secrets.(reacher)
	if !ok || !errors.Is(err, context.DeadlineExceeded) || r.Absence.Current() != nil {
		return true
	}
	// Not under ctx, whose deadline may be the cause of err.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), secondLook)
	defer cancel()
	again := vault.Reach(ctx, r.Observer.StateMount)
	return again != nil && SaysAway(again)
}

// left leaves an attempt to the next run because Vault is unusable. Only the first such
// attempt writes the event, which names all unfinished certificates.
func (ap *Applier) left(err error) {
	if !ap.Absence.begin(err, ap.Clock()) {
		return
	}
	names := ap.Colleagues.Unfinished()
	away := ap.Absence.Current()
	o := &recorder.Outage{Since: away.Since, Class: ledger.ClassVault, Message: failure.Message(err)}
	detail := fmt.Sprintf("Vault has been unusable since %s, in the middle of a run: the next run finishes %s, and certroll starts nothing new until Vault works again",
		away.Since.UTC().Format(time.RFC3339), text.Counted(len(names), "certificate"))
	e := recorder.OutageEvent(recorder.SideLooked, o, ledger.Failed, detail, ap.Revision.Commit, ap.Clock())
	e.Concerns(names)
	_ = ap.TellOutage(e) // if the journal fails, the event stays in memory and the next pass writes it
}

// TellOutage writes the event of an outage to the journal, which passes it on to the
// ledger once Git accepts a push.
func (r *Means) TellOutage(e ledger.Event) error {
	return r.Writer.Note(r.Writer.Struck(ledger.Entry{Event: e}))
}
