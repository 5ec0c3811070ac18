package reconcile

import (
	"fmt"

	"certroll/reconcile/failure"
	"certroll/reconcile/ledger"
	"certroll/reconcile/recorder"
)

// noteDisk looks whether the state directory can be written: with each pull, and
// with each pass for as long as it could not. A disk that is full is no matter of
// Git's, however the journal's error is classed.
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
