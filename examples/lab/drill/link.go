package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
)

// link is a TCP connection to a server that the drill can cut without notice to either
// side, like a firewall that drops packets: connections stay open, and no data passes.
// After the link is restored, queued data arrives, as it does from the kernel's buffers.
type link struct {
	addr   string // "127.0.0.1:port"
	target string

	listener net.Listener
	mu       sync.Mutex
	passes   *sync.Cond
	cut      bool
	closed   bool
	open     map[net.Conn]bool
	all      sync.WaitGroup
}

func startLink(target string) (*link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for a link to %s: %w", target, err)
	}
	l := &link{addr: listener.Addr().String(), target: target, listener: listener, open: map[net.Conn]bool{}}
	l.passes = sync.NewCond(&l.mu)
	l.all.Go(l.accept)
	return l, nil
}

func (l *link) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return // the listener was closed
		}
		l.all.Go(func() { l.join(client) })
	}
}

// join connects a client with the server until both have sent everything.
func (l *link) join(client net.Conn) {
	defer l.forget(client)
	if !l.keep(client) || !l.wait() {
		return
	}
	dialer := net.Dialer{Timeout: requestTime}
	server, err := dialer.DialContext(context.Background(), "tcp", l.target)
	if err != nil {
		return
	}
	defer l.forget(server)
	if !l.keep(server) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { l.copy(client, server) })
	l.copy(server, client)
	back.Wait()
}

// copy forwards data while the link is not cut.
func (l *link) copy(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if !l.wait() {
			return
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // the other side receives the end of the stream, or is gone
	}
	_, _ = io.Copy(io.Discard, from) // drain, so that the sender does not block
}

// wait returns true when the link is not cut, or false when it is closed.
func (l *link) wait() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.cut && !l.closed {
		l.passes.Wait()
	}
	return !l.closed
}

// set cuts or restores the link.
func (l *link) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	l.passes.Broadcast()
}

func (l *link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c] = true
	return !l.closed
}

func (l *link) forget(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = c.Close()
	delete(l.open, c)
}

// close ends all connections and waits for them.
func (l *link) close() error {
	if l == nil {
		return nil
	}
	err := l.listener.Close()
	l.mu.Lock()
	l.closed = true
	l.passes.Broadcast()
	for c := range l.open {
		_ = c.Close()
	}
	l.mu.Unlock()
	l.all.Wait()
	return err
}
