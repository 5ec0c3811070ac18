package page

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// mostListeners are told of passes at once; one more is told to come later.
	mostListeners = 64
	// beat is how often a listener hears that the connection lives: proxies end
	// those that say nothing for a minute.
	beat = 20 * time.Second
	// writeTimeout is how long a listener may take to read one message.
	writeTimeout = 10 * time.Second
)

// bell tells listeners that a pass has ended, or that its ledger was read late.
type bell struct {
	mu        sync.Mutex
	n         int // the newest of these
	listeners map[chan int]bool
}

// ring tells of the nth.
func (b *bell) ring(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n = max(b.n, n)
	for l := range b.listeners {
		select {
		case <-l: // it has not heard of the one before
		default:
		}
		l <- b.n
	}
}

// listen gives a channel of one place for the newest pass, which is in it where
// it is another than the one that is known; false where there are too many
// listeners.
func (b *bell) listen(known int) (heard chan int, leave func(), ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.listeners) >= mostListeners {
		return nil, nil, false
	}
	if b.listeners == nil {
		b.listeners = map[chan int]bool{}
	}
	heard = make(chan int, 1)
	if b.n != known {
		heard <- b.n
	}
	b.listeners[heard] = true
	return heard, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.listeners, heard)
	}, true
}

// events serves Server-Sent Events: one message a pass, a heartbeat between
// them, until the client leaves or the server ends. The address says which pass
// the client has seen: one that ended since is told at once.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	known, _ := strconv.Atoi(r.URL.Query().Get("pass"))
	heard, leave, ok := s.bell.listen(known)
	if !ok {
		w.Header().Set("Retry-After", "60")
		http.Error(w, "too many browsers follow the passes already; reload the page instead", http.StatusServiceUnavailable)
		return
	}
	defer leave()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would keep messages back
	out := http.NewResponseController(w)
	say := func(text string) bool {
		// The server's own WriteTimeout is for a whole answer.
		_ = out.SetWriteDeadline(time.Now().Add(writeTimeout)) // where it is not supported there is none to exceed
		if _, err := fmt.Fprint(w, text); err != nil {
			return false
		}
		return out.Flush() == nil
	}
	heart := time.NewTicker(beat)
	defer heart.Stop()
	for ok := say("retry: 5000\n: certroll\n\n"); ok; {
		select {
		case <-r.Context().Done():
			return
		case <-s.life.Done():
			return
		case n := <-heard:
			ok = say(fmt.Sprintf("id: %d\nevent: pass\ndata: {\"pass\":%[1]d}\n\n", n))
		case <-heart.C:
			ok = say(": beat\n\n")
		}
	}
}
