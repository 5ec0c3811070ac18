package main

import (
	"fmt"
	"sync"
)

// order is one order at the CA.
type order struct {
	url, name string
	epoch     int // the run or round of its creation
	at        int // its position in everything that the book recorded
	stored    int // position at which Vault accepted its URL; 0: never
}

// book is the drill's own account of orders, from the servers' traffic. It is safe for
// concurrent use.
//
// certroll knows an order from the moment at which Vault accepted its URL. A crash before
// that leaves an order that only the CA knows: certroll cannot continue it, and the next
// run creates another.
type book struct {
	mu       sync.Mutex
	orders   []*order
	byURL    map[string]*order
	sequence int
	epoch    int
	excused  map[int]bool // epochs in which the drill killed or cut off certroll
	requests int          // since the last call of watch
	at       int          // the request at which reached is closed; 0: none
	reached  chan struct{}
	inFlight int // requests in progress
}

func newBook() *book {
	return &book{byURL: map[string]*order{}, excused: map[int]bool{}}
}

// next begins an epoch, which separates later orders from earlier ones.
func (b *book) next() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.epoch++
}

// excuse marks this epoch: the drill killed or cut off certroll in it.
func (b *book) excuse() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.excused[b.epoch] = true
}

// watch returns a channel that is closed at the n-th request from now on, counted from 1.
func (b *book) watch(n int) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests, b.at, b.reached = 0, n, make(chan struct{})
	return b.reached
}

// begin records a request. The caller calls end when the request ends.
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

// quiet reports whether no request is in progress.
func (b *book) quiet() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inFlight == 0
}

// made records an order of the CA.
func (b *book) made(url, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sequence++
	o := &order{url: url, name: name, epoch: b.epoch, at: b.sequence}
	b.orders = append(b.orders, o)
	b.byURL[url] = o
}

// stored records that Vault accepted a pending secret with an order's URL.
func (b *book) stored(url string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o := b.byURL[url]; o != nil && o.stored == 0 {
		b.sequence++
		o.stored = b.sequence
	}
}

// madeNow returns the number of orders in this epoch.
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

// verdict is the result of judge.
type verdict struct {
	orders  int
	unknown int      // a kill or cut came before the URL was stored, so certroll could not know them
	late    int      // the URL was stored after another order had replaced it
	lost    []string // known to certroll, but not finished
	doubled []string // another order was created while a known one was unfinished
}

// mostUnknown is the number of orders that one kill or cut may leave unknown: one for
// each concurrent certificate (`parallel` in certroll.hcl).
const mostUnknown = 16

// judge classifies each order. finished are the URLs of orders whose certificate is live
// and recorded.
func (b *book) judge(finished map[string]bool) (v verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v.orders = len(b.orders)
	newer := map[string]*order{} // by name: the next order after the current one
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
