package reconcile

import (
	"fmt"

	"certroll/reconcile/failure"
	"certroll/reconcile/ledger"
	"certroll/reconcile/recorder"
)

// noteDisk checks whether the state directory can be written: with each pull, and with
// each pass while it cannot. The journal classifies its errors as Git's, so noteDisk
// changes the class: a full disk is no Git problem.
func (l *Loop) noteDisk(pulled bool) error {
	err := l.r.Writer.Unwritten.Err()
	if pulled || err != nil {
		err = l.r.Writer.Unwritten.Probe(l.r.Writer.Journal)
	}
	if err == nil {
		l.noteEnd(recorder.SideDisk)
		return nil
	}
	err = &failure.Error{Code: ledger.ClassInternal, Err: fmt.Errorf("the state directory cannot be written: %w", err)}
	l.noteOutage(recorder.SideDisk, err)
	return err
}
