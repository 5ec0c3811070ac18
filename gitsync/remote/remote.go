package remote

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

	"certroll/gitsync/objects"
	"certroll/gitsync/packfile"
)

// connector opens conversations with a repository over one transport: Upload for a fetch,
// Receive for a push.
type connector interface {
	Upload(ctx context.Context) (transport.UploadPackSession, error)
	Receive(ctx context.Context) (transport.ReceivePackSession, error)
}

// Remote is a repository elsewhere, with the credentials for it.
type Remote struct {
	connector
	Location Location
	strike   *redactor
	timeout  time.Duration
}

const defaultTimeout = 5 * time.Minute

// Open parses the URL and checks the credentials, without connecting. timeout bounds one
// operation, see Bound; 0 is five minutes.
func Open(rawURL string, a Auth, timeout time.Duration) (*Remote, error) {
	loc, user, password, err := parseLocation(rawURL)
	if err != nil {
		return nil, err
	}
	// An explicit setting takes precedence over the credentials in the URL.
	if a.Username == "" {
		a.Username = user
	}
	if a.Token == "" && a.TokenFile == "" {
		a.Token = password
	}
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	r := &Remote{Location: loc, strike: newRedactor(a), timeout: timeout}
	switch loc.scheme {
	case overHTTP, overHTTPS:
		r.connector, err = newHTTPConnector(loc, a, r.strike.learn)
	case overSSH:
		r.connector, err = newSSHConnector(loc, a)
	default:
		r.connector = localConnector{path: loc.Path}
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Close closes the connections that are kept between conversations.
func (r *Remote) Close() {
	if c, ok := r.connector.(interface{ Close() }); ok {
		c.Close()
	}
}

// Struck returns the remote's words without secrets.
func (r *Remote) Struck(said string) string { return r.strike.Strike(said) }

// Bound returns a context with the timeout for one operation, because a remote may hang for
// ever.
func (r *Remote) Bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, r.timeout)
}

// Conversation is one connection for a fetch: the list of refs, then at most one pack.
type Conversation struct {
	session  transport.UploadPackSession
	Adv      *packp.AdvRefs
	multiAck bool
}

// List connects and reads the remote's refs. An empty repository has none, and is no error.
func (r *Remote) List(ctx context.Context, doing string) (*Conversation, error) {
	session, err := r.Upload(ctx)
	if err != nil {
		return nil, r.Explain(ctx, doing, err)
	}
	adv, err := session.AdvertisedReferencesContext(ctx)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		adv, err = packp.NewAdvRefs(), nil
	}
	if err != nil {
		_ = session.Close()
		return nil, r.Explain(ctx, doing, err)
	}
	return &Conversation{session: session, Adv: adv, multiAck: r.Location.demandsMultiAck()}, nil
}

// Close ends the conversation.
func (c *Conversation) Close() { _ = c.session.Close() }

// Wish describes a fetch: the objects of Want, without those that Have and Shallow declare
// as present.
type Wish struct {
	Want     []plumbing.Hash
	Have     []plumbing.Hash
	Shallow  []plumbing.Hash // commits here whose parents are not
	Depth    int             // in commits; 0: the whole history
	MaxBytes int64
}

// Fetch adds the objects of a wish to the database and returns the pack's size in bytes.
func (c *Conversation) Fetch(ctx context.Context, w Wish, into *objects.DB) (size int64, err error) {
	req := packp.NewUploadPackRequestFromCapabilities(c.Adv.Capabilities)
	req.Wants, req.Haves = w.Want, w.Have
	if c.multiAck { // Azure DevOps needs it; go-git removes it from the server's list, because it supports it only in part
		err = req.Capabilities.Set(capability.MultiACK)
	}
	// Progress is for people at a terminal.
	if c.Adv.Capabilities.Supports(capability.NoProgress) {
		err = errors.Join(err, req.Capabilities.Set(capability.NoProgress))
	}
	if c.Adv.Capabilities.Supports(capability.Shallow) {
		req.Shallows = w.Shallow
		if w.Depth > 0 {
			req.Depth = packp.DepthCommits(w.Depth)
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
	var said Words
	// Two bounds: the wish's, for this fetch, and the store's, which is smaller in memory.
	in := &meter{r: demux(req.Capabilities, res, &said), ctx: ctx, left: min(w.MaxBytes, into.MaxPack())}
	if err := into.AddPack(ctx, in); err != nil {
		if said.String() != "" {
			err = &SaidError{Said: said.String(), Err: err}
		}
		return in.read, err
	}
	return in.read, nil
}

// meter counts the bytes that it passes on. It stops at left bytes or at the end of the
// context.
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
		return n, fmt.Errorf("%w (%d bytes so far)", packfile.ErrTooLarge, m.read)
	}
	return n, err
}
