package gitsync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// connector opens conversations with a repository over one transport.
type connector interface {
	upload(ctx context.Context) (transport.UploadPackSession, error)   // to fetch
	receive(ctx context.Context) (transport.ReceivePackSession, error) // to push
}

// remote is a repository elsewhere.
type remote struct {
	connector
	loc     location
	strike  *redactor
	timeout time.Duration
}

const defaultTimeout = 5 * time.Minute

// openRemote checks all that can be checked without the remote.
func openRemote(rawURL string, a Auth, timeout time.Duration) (*remote, error) {
	loc, user, password, err := parseLocation(rawURL)
	if err != nil {
		return nil, err
	}
	// What is spelled out wins over what hides in the URL.
	if a.Username == "" {
		a.Username = user
	}
	if a.Token == "" && a.TokenFile == "" {
		a.Token = password
	}
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	r := &remote{loc: loc, strike: newRedactor(a), timeout: timeout}
	switch loc.scheme {
	case overHTTP, overHTTPS:
		r.connector, err = newHTTPConnector(loc, a, r.strike.learn)
	case overSSH:
		r.connector, err = newSSHConnector(loc, a)
	default:
		r.connector = localConnector{path: loc.path}
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// close gives back what is kept between conversations.
func (r *remote) close() {
	if c, ok := r.connector.(interface{ close() }); ok {
		c.close()
	}
}

// struck is what the remote said, without secrets.
func (r *remote) struck(said string) string { return r.strike.Strike(said) }

// bound limits one operation with the remote, which may hang for ever.
func (r *remote) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, r.timeout)
}

// conversation is one connection to fetch with: what the remote has, then at
// most one pack.
type conversation struct {
	session  transport.UploadPackSession
	adv      *packp.AdvRefs
	multiAck bool
}

// list asks for the remote's refs. An empty repository has none.
func (r *remote) list(ctx context.Context, doing string) (*conversation, error) {
	session, err := r.upload(ctx)
	if err != nil {
		return nil, r.explain(ctx, doing, err)
	}
	adv, err := session.AdvertisedReferencesContext(ctx)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		adv, err = packp.NewAdvRefs(), nil
	}
	if err != nil {
		_ = session.Close()
		return nil, r.explain(ctx, doing, err)
	}
	return &conversation{session: session, adv: adv, multiAck: r.loc.demandsMultiAck()}, nil
}

func (c *conversation) close() { _ = c.session.Close() }

// wish is what to fetch: all of want, less what the other two say is here.
type wish struct {
	want     []plumbing.Hash
	have     []plumbing.Hash
	shallow  []plumbing.Hash // commits here whose parents are not
	depth    int             // 0: as deep as it is
	maxBytes int64
}

// fetch brings the objects of a wish into the database and returns the pack's
// size.
func (c *conversation) fetch(ctx context.Context, w wish, into *objects) (size int64, err error) {
	req := packp.NewUploadPackRequestFromCapabilities(c.adv.Capabilities)
	req.Wants, req.Haves = w.want, w.have
	if c.multiAck { // what go-git took out of the server's list, since it knows no more of it than is needed here
		err = req.Capabilities.Set(capability.MultiACK)
	}
	if c.adv.Capabilities.Supports(capability.NoProgress) {
		err = errors.Join(err, req.Capabilities.Set(capability.NoProgress))
	}
	if c.adv.Capabilities.Supports(capability.Shallow) {
		req.Shallows = w.shallow
		if w.depth > 0 {
			req.Depth = packp.DepthCommits(w.depth)
		}
		err = errors.Join(err, req.Capabilities.Set(capability.Shallow))
	}
	if err != nil {
		return 0, err
	}
	res, err := c.session.UploadPack(ctx, req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Close() }()
	var said words
	in := &meter{r: demux(req.Capabilities, res, &said), ctx: ctx, left: min(w.maxBytes, into.maxPack())}
	if err := into.addPack(ctx, in); err != nil {
		if said.String() != "" {
			err = &saidError{said: said.String(), err: err}
		}
		return in.read, err
	}
	return in.read, nil
}

// meter counts what it passes on, and stops at a limit or with its context.
type meter struct {
	r    io.Reader
	ctx  context.Context
	read int64
	left int64
}

func (m *meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.r.Read(p)
	m.read += int64(n)
	if m.left -= int64(n); m.left < 0 {
		return n, fmt.Errorf("%w (%d bytes so far)", errPackTooLarge, m.read)
	}
	return n, err
}
