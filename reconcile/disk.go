package reconcile

import (
	"fmt"
)

// sideDisk is the state directory: what happens is noted there before it is told.
const sideDisk side = "the state directory"

// noteDisk looks whether the state directory can be written: with each pull, and
// with each pass for as long as it could not. A disk that is full is no matter of
// Git's, however the journal's error is classed.
func (l *Loop) noteDisk(pulled bool) error {
	err := l.r.scribe.unwritten.trouble()
	if pulled || err != nil {
		err = l.r.scribe.unwritten.probe(l.r.scribe.journal)
	}
	if err == nil {
		l.noteEnd(sideDisk)
		return nil
	}
	err = &failure{code: ClassInternal, err: fmt.Errorf("the state directory cannot be written: %w", err)}
	l.noteOutage(sideDisk, err)
	return err
}

// words are what is said of a side's outage: while it lasts, and once it is over.
func (s side) words() (lasts, over string) {
	if s == sideDisk {
		return "the state directory cannot be written", "the state directory can be written again; it could not"
	}
	return "nothing can be done with " + string(s), string(s) + " can be reached again; it could not"
}
