package acme

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// connections are the open connections of one transport, so that Close ends each.
// http.Transport's CloseIdleConnections is not enough: over HTTP/2 it passes over a
// connection whose canceled request is just being forgotten, which then stays open
// until its idle timeout.
type connections struct {
	mu   sync.Mutex
	open map[*connection]struct{}
}

type connection struct {
	net.Conn
	of *connections
}

// watch has a transport's connections counted from now on.
func (c *connections) watch(t *http.Transport) {
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		one := &connection{Conn: conn, of: c}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.open == nil {
			c.open = map[*connection]struct{}{}
		}
		c.open[one] = struct{}{}
		return one, nil
	}
}

// Close is net.Conn's.
func (c *connection) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// close ends what is open.
func (c *connections) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for one := range c.open {
		_ = one.Conn.Close()
	}
	clear(c.open)
}
