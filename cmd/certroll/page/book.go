package page

import (
	"context"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
)

// Ledger is the source of events.
type Ledger interface {
	// Snapshot returns the newest tree, and the branch's head.
	Snapshot(ctx context.Context) (tree fs.FS, head string, err error)
}

const (
	// patience is how long a page waits for the ledger before it shows the last reading.
	patience = 3 * time.Second
	// readTimeout bounds one exchange with the ledger.
	readTimeout = time.Minute
	// mostCached is the number of certificates' histories cached for one head.
	mostCached = 256
	// walks bounds the histories read concurrently.
	walks = 2
)

// book is the last reading of the ledger. It reads again at most once per pass, and
// reads a certificate's history once per head.
type book struct {
	ledger Ledger
	life   context.Context // ends the work that outlasts a request
	late   func()          // called at the end of a reading that a request stopped waiting for
	walk   chan struct{}   // one element per walk through the log
	under  sync.WaitGroup  // readings in progress

	mu       sync.Mutex
	closed   bool
	pass     int           // number of the newest pass
	seen     int           // pass at the last reading
	reading  chan struct{} // closed at the end of the reading in progress; nil: none
	missed   bool          // a request stopped waiting for it
	tree     fs.FS         // nil: never read
	head     string
	err      error // of the last reading
	problems []ledger.Problem
	events   map[string]History
}

func newBook(life context.Context, l Ledger, late func()) *book {
	return &book{ledger: l, life: life, late: late, walk: make(chan struct{}, walks), events: map[string]History{}}
}

// turn records the end of a pass: the last reading may be outdated.
func (b *book) turn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pass++
}

// look reads the ledger if a pass has ended since the last reading, and waits for that
// up to patience.
func (b *book) look(ctx context.Context) {
	b.mu.Lock()
	if b.closed || b.seen == b.pass && b.reading == nil {
		b.mu.Unlock()
		return
	}
	if b.reading == nil {
		b.reading = make(chan struct{})
		pass, done := b.pass, b.reading
		b.under.Go(func() { b.read(pass, done) })
	}
	done := b.reading
	b.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		b.mu.Lock()
		defer b.mu.Unlock()
		b.missed = b.missed || b.reading == done
	case <-ctx.Done():
	}
}

// close waits for the end of all reading.
func (b *book) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.under.Wait()
}

func (b *book) read(pass int, done chan struct{}) {
	ctx, cancel := context.WithTimeout(b.life, readTimeout)
	defer cancel()
	tree, head, err := b.ledger.Snapshot(ctx)
	var p *ledger.Problems
	if err == nil {
		p, err = archive.ReadProblems(tree)
	}
	b.mu.Lock()
	missed := b.missed
	b.reading, b.missed, b.seen, b.err = nil, false, pass, err
	if err == nil { // otherwise the earlier reading stays
		if head != b.head || b.tree == nil {
			b.events = map[string]History{}
		}
		b.tree, b.head, b.problems = tree, head, p.Problems
	}
	close(done)
	b.mu.Unlock()
	if missed {
		b.late()
	}
}

// open returns the open problems and the ledger's head.
func (b *book) open() (problems []ledger.Problem, head string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.problems, b.head, b.err
}

// history returns a certificate's history from the last reading.
func (b *book) history(ctx context.Context, name string) History {
	b.mu.Lock()
	tree, head, h, failed := b.tree, b.head, b.events[name], b.err
	b.mu.Unlock()
	switch {
	case tree == nil && failed != nil:
		return History{Error: failed.Error()}
	case tree == nil:
		return History{Error: "the ledger has not answered yet"}
	case h.Events == nil:
		h = b.walkFor(ctx, tree, head, name)
	}
	if failed != nil && h.Error == "" {
		h.Error = fmt.Sprintf("this is as of an earlier look at the ledger (%s): %s", short(head), failed)
	}
	return h
}

// walkFor reads a certificate's history from the log, and caches it.
func (b *book) walkFor(ctx context.Context, tree fs.FS, head, name string) History {
	select {
	case b.walk <- struct{}{}:
		defer func() { <-b.walk }()
	case <-ctx.Done():
		return History{Error: "the log is being read for others; load the page again"}
	}
	events, more, err := archive.Query{Certificate: name}.Newest(tree, mostEvents)
	if err != nil {
		return History{Error: err.Error()}
	}
	h := History{Events: events, More: more}
	if h.Events == nil {
		h.Events = []ledger.Event{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if head == b.head {
		if len(b.events) >= mostCached {
			clear(b.events)
		}
		b.events[name] = h
	}
	return h
}
