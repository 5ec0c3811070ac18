package ca

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// connections are the open connections of one transport, so that Close can close each.
// The CloseIdleConnections of http.Transport does not suffice: over HTTP/2 it skips a
// connection with a canceled request that is still being cleaned up. That connection
// then stays open until its idle timeout.
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

// connectionsOf records the connections that a transport opens from now on.
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
		if c.closed { // closed during the dial
			_ = conn.Close()
			return nil, net.ErrClosed
		}
		c.open[one] = struct{}{}
		return one, nil
	}
	return c
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// close closes all connections, idle ones gracefully, and makes pending dials fail. The
// transport is unusable afterwards.
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
