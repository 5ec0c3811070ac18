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

// reacher is a Vault that can be asked whether it is there.
type reacher interface {
	Reach(ctx context.Context, mount string) error
}

// secondLook is how long Vault may take to say that it is there.
const secondLook = 5 * time.Second

// IsAway tells whether a failure is Vault's as a whole. One call that took too long
// does not say so: Vault is asked once more.
func (r *Means) IsAway(ctx context.Context, err error) bool {
	if !SaysAway(err) {
		return false
	}
	vault, ok := r.Secrets.(reacher)
	if !ok || !errors.Is(err, context.DeadlineExceeded) || r.Absence.Current() != nil {
		return true
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), secondLook)
	defer cancel()
	again := vault.Reach(ctx, r.Observer.StateMount)
	return again != nil && SaysAway(again)
}

// left leaves an attempt to the next run, as Vault is away. The first one tells of it.
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
	_ = ap.TellOutage(e) // what the journal does not take is kept in memory, and said by the next pass
}

// TellOutage puts the event of an outage into the journal, from where it goes to the
// ledger as soon as Git takes it.
func (r *Means) TellOutage(e ledger.Event) error {
	return r.Writer.Note(r.Writer.Struck(ledger.Entry{Event: e}))
}
