package page

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"certroll/spec/text"
)

// policy lets the page load only its own two files and connect only to its own server;
// no other page may frame it.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// freshFor is how long a page's model stays valid: states depend on the time.
const freshFor = 30 * time.Second

// Server serves the status page. It receives passes and never starts one.
type Server struct {
	life context.Context // ends connections that would outlast a shutdown
	now  func() time.Time
	book *book
	bell bell
	mux  *http.ServeMux

	mu     sync.Mutex
	passes int // number of received passes and late readings
	input  Input
	made   *Page // made from input; nil: not requested yet
	works  func() []Work
}

// NewServer makes a server whose work ends with life. It reads events from the ledger on
// request.
func NewServer(life context.Context, ledger Ledger, now func() time.Time) *Server {
	s := &Server{life: life, now: now, mux: http.NewServeMux(), works: func() []Work { return nil }}
	s.book = newBook(life, ledger, s.changed)
	s.mux.HandleFunc("GET /{$}", s.index)
	s.mux.HandleFunc("GET /certificates/{name}", s.certificate)
	s.mux.HandleFunc("GET /status.json", s.status)
	s.mux.HandleFunc("GET /events", s.events)
	for name, b := range assets {
		s.mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-cache") // revalidated each time, and answered with 304
			w.Header().Set("ETag", etag(b))
			http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(b))
		})
	}
	return s
}

// Watch sets the source of attempts in progress, which change between passes.
func (s *Server) Watch(works func() []Work) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.works = works
}

// Passed receives the state after a pass. If the pass could not observe, the earlier
// state stays.
func (s *Server) Passed(in Input) {
	s.mu.Lock()
	if in.Records == nil && in.Actions == nil {
		in.Records, in.Actions, in.Tripped = s.input.Records, s.input.Actions, s.input.Tripped
		if before := s.input.Pass; before != nil && in.Pass != nil {
			in.Pass.SeenAt = before.SeenAt
		}
	}
	s.input = in
	s.mu.Unlock()
	s.book.turn()
	s.changed()
}

// changed invalidates the page and notifies the listeners.
func (s *Server) changed() {
	s.mu.Lock()
	s.made = nil
	s.passes++
	n := s.passes
	s.mu.Unlock()
	s.bell.ring(n)
}

// Wait waits until nothing reads the ledger. life must have ended.
func (s *Server) Wait() { s.book.close() }

// page returns the present state.
func (s *Server) page(ctx context.Context) *Page {
	s.book.look(ctx)
	problems, head, err := s.book.open()
	s.mu.Lock()
	defer s.mu.Unlock()
	now, works := s.now(), s.works()
	if p := s.made; p != nil && p.Ledger == head && slices.Equal(p.AtWork, works) && now.Sub(p.Now) < freshFor && now.Sub(p.Now) >= 0 {
		return p
	}
	in := s.input
	in.Problems, in.Ledger, in.AtWork = problems, head, works
	if err != nil && in.Pass != nil {
		in.Faults = append(in.Faults[:len(in.Faults):len(in.Faults)], err.Error())
	}
	s.made = New(in, now)
	s.made.Number = s.passes
	return s.made
}

// ServeHTTP implements http.Handler, with headers that isolate the page.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	s.mux.ServeHTTP(w, r)
}

func (s *Server) index(w http.ResponseWriter, r *http.Request) {
	v := s.page(r.Context()).index(layout{}, ParseFilter(r.URL.Query()))
	s.html(w, "index.html", http.StatusOK, &v)
}

func (s *Server) certificate(w http.ResponseWriter, r *http.Request) {
	p := s.page(r.Context())
	c := p.Certificate(r.PathValue("name"))
	if c == nil {
		s.html(w, "absent.html", http.StatusNotFound, &detailView{head: head{layout{Root: "../"}, "No such certificate", p}, C: &Certificate{Name: r.PathValue("name")}})
		return
	}
	v := p.detail(layout{Root: "../"}, c, s.book.history(r.Context(), c.Name))
	s.html(w, "certificate.html", http.StatusOK, &v)
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	b, err := json.Marshal(s.page(r.Context()).Status(ParseFilter(r.URL.Query())))
	if err != nil {
		http.Error(w, fmt.Sprintf("encoding the status: %v", err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text.JSON(b), '\n'))
}

// html renders before it answers, so that an error sends no half page.
func (s *Server) html(w http.ResponseWriter, name string, code int, view any) {
	var b bytes.Buffer
	if err := render(&b, name, view); err != nil {
		http.Error(w, fmt.Sprintf("rendering the page: %v", err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes())
}
