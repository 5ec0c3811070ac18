package main

import (
	"fmt"
	"sync"
)

// order is one that the CA made.
type order struct {
	url, name string
	epoch     int // the run or round in which the CA made it
	at        int // its place in the sequence of all that the book saw
	stored    int // when Vault took its URL; 0: never
}

// book is what the servers saw: the drill's own account of orders. It is safe for
// concurrent use.
//
// An order is known to certroll from the moment at which Vault has taken its URL.
// Before that a crash leaves an order that only the CA knows: nobody can go on with
// it, and the next run makes another.
type book struct {
	mu       sync.Mutex
	orders   []*order
	byURL    map[string]*order
	sequence int
	epoch    int
	excused  map[int]bool // epochs in which certroll was killed or cut off
	requests int          // since watch was called
	at       int          // the request that reached is closed at; 0: none
	reached  chan struct{}
	inFlight int // requests that have not ended
}

func newBook() *book {
	return &book{byURL: map[string]*order{}, excused: map[int]bool{}}
}

// next begins an epoch; orders of the last one are told apart from those that follow.
func (b *book) next() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.epoch++
}

// excuse says that certroll was killed or cut off in this epoch.
func (b *book) excuse() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.excused[b.epoch] = true
}

// watch returns a channel that is closed at the n-th request from now on, from 1.
func (b *book) watch(n int) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests, b.at, b.reached = 0, n, make(chan struct{})
	return b.reached
}

// begin notes a request; the function it returns notes its end.
func (b *book) begin() (end func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight++
	b.requests++
	if b.requests == b.at {
		close(b.reached)
	}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.inFlight--
	}
}

// quiet tells whether no request is under way.
func (b *book) quiet() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inFlight == 0
}

// made notes an order of the CA.
func (b *book) made(url, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sequence++
	o := &order{url: url, name: name, epoch: b.epoch, at: b.sequence}
	b.orders = append(b.orders, o)
	b.byURL[url] = o
}

// stored notes that Vault has taken a pending secret with an order's URL.
func (b *book) stored(url string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o := b.byURL[url]; o != nil && o.stored == 0 {
		b.sequence++
		o.stored = b.sequence
	}
}

// madeNow is how many orders there are in this epoch.
func (b *book) madeNow() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.orders {
		if o.epoch == b.epoch {
			n++
		}
	}
	return n
}

// verdict is what became of the orders.
type verdict struct {
	orders  int
	unknown int      // no URL was stored before a kill or a cut: nobody could know them
	late    int      // the URL was stored when another order had taken its place
	lost    []string // known, and not finished
	doubled []string // another order was made while a known one was unfinished
}

// mostUnknown is how many orders one kill or cut may leave unknown: as many as
// certificates are at work at once (`parallel` in certroll.hcl).
const mostUnknown = 16

// judge decides what became of each order. finished are the URLs of orders whose
// certificate is live and recorded.
func (b *book) judge(finished map[string]bool) (v verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v.orders = len(b.orders)
	newer := map[string]*order{} // by name, the next order after the one at hand
	unknown := map[int]int{}
	for i := len(b.orders) - 1; i >= 0; i-- {
		o := b.orders[i]
		next := newer[o.name]
		newer[o.name] = o
		switch {
		case finished[o.url]:
		case o.stored == 0 && b.excused[o.epoch] && unknown[o.epoch] < mostUnknown:
			unknown[o.epoch]++
			v.unknown++
		case next != nil && o.stored > next.at:
			v.late++
		case o.stored == 0:
			v.lost = append(v.lost, fmt.Sprintf("order %s of %s was never stored, and nobody was killed", o.url, o.name))
		case next != nil:
			v.doubled = append(v.doubled, fmt.Sprintf("%s: order %s was made while %s was stored and unfinished", o.name, next.url, o.url))
		default:
			v.lost = append(v.lost, fmt.Sprintf("order %s of %s was stored, and never finished", o.url, o.name))
		}
	}
	return v
}
