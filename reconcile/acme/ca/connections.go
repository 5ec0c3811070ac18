package ca

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// connections are the open connections of one transport, so that Close ends each.
// http.Transport's CloseIdleConnections alone is not enough: over HTTP/2 it passes over
// a connection whose canceled request is just being forgotten, which then stays open
// until its idle timeout.
type connections struct {
	transport *http.Transport

	mu     sync.Mutex
	open   map[*connection]struct{}
	closed bool
}

type connection struct {
	net.Conn
	of *connections
}

// connectionsOf keeps the connections that a transport opens from now on.
func connectionsOf(t *http.Transport) *connections {
	c := &connections{transport: t, open: map[*connection]struct{}{}}
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		one := &connection{Conn: conn, of: c}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.closed { // nobody waits for it any more
			_ = conn.Close()
			return nil, net.ErrClosed
		}
		c.open[one] = struct{}{}
		return one, nil
	}
	return c
}

// Close is net.Conn's.
func (c *connection) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// close ends the open connections, those that are idle properly and the others as they
// are, and lets no dial that is under way come to one. The transport is of no more use.
func (c *connections) close() {
	c.transport.CloseIdleConnections()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for one := range c.open {
		_ = one.Conn.Close()
	}
	clear(c.open)
}
