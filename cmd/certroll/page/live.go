package page

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// mostListeners bounds the browsers that follow the passes; further ones must
	// reload.
	mostListeners = 64
	// beat is the interval of heartbeats: proxies close a connection that is silent for
	// a minute.
	beat = 20 * time.Second
	// writeTimeout bounds the delivery of one message to a listener.
	writeTimeout = 10 * time.Second
)

// bell notifies listeners of the end of a pass, or of a late reading of the ledger.
type bell struct {
	mu        sync.Mutex
	n         int // the newest number
	listeners map[chan int]bool
}

// ring announces number n.
func (b *bell) ring(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n = max(b.n, n)
	for l := range b.listeners {
		select {
		case <-l: // drop the previous number, which the listener has not read
		default:
		}
		l <- b.n
	}
}

// listen returns a channel of capacity one for the newest number. The channel already
// holds it if it differs from known. ok is false if there are too many listeners.
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

// events serves Server-Sent Events: one message per pass, and heartbeats, until the
// client leaves or the server ends. The URL names the last pass that the client has
// seen; a newer one is sent at once.
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
	h.Set("X-Accel-Buffering", "no") // nginx would buffer messages
	out := http.NewResponseController(w)
	say := func(text string) bool {
		// The server's own WriteTimeout applies to a whole answer.
		_ = out.SetWriteDeadline(time.Now().Add(writeTimeout)) // if unsupported, there is no limit to exceed
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
