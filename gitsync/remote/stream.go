package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"certroll/spec/bounded"
)

// program is git-upload-pack or git-receive-pack at the other end of pipes: a child
// process, or a session over SSH.
type program struct {
	in     io.WriteCloser
	out    io.Reader
	stderr *Words
	wait   func() error // waits for its end; called once
	kill   func()       // ends it at once; safe to call repeatedly and concurrently
}

// stream speaks the pack protocol (gitprotocol-pack(5), version 0) with a program. It is
// one conversation: the list of refs, then at most one pack.
type stream struct {
	program
	stop func() bool // stops watching the context
	adv  *packp.AdvRefs
	done bool // a request was sent, so Close sends no flush
	once sync.Once
}

// newStream binds the program to ctx. When ctx ends, the program ends, and so does every
// read, write and wait on it.
func newStream(ctx context.Context, p program) *stream {
	p = apart(p)
	return &stream{program: p, stop: context.AfterFunc(ctx, p.kill)}
}

// apart puts our own pipes between the program and its user, so that kill ends every wait
// on the program. Killing the program alone does not: its child may keep the pipes open,
// and a channel of x/crypto ends only when the server ends it.
func apart(p program) program {
	out, said := io.Pipe()
	heard, in := io.Pipe()
	go func() {
		_, err := io.Copy(said, p.out)
		_ = said.CloseWithError(err)
	}()
	go func() {
		_, err := io.Copy(p.in, heard)
		_ = errors.Join(heard.CloseWithError(err), p.in.Close())
	}()
	over := make(chan struct{})
	kill := sync.OnceFunc(func() {
		p.kill()
		_ = out.CloseWithError(errKilled)
		_ = in.CloseWithError(errKilled)
		close(over)
	})
	wait := func() error {
		ended := make(chan error, 1)
		go func() { ended <- p.wait() }()
		select {
		case err := <-ended:
			return err
		case <-over:
		}
		select {
		case err := <-ended:
			return err
		case <-time.After(lastMoment):
			return errKilled
		}
	}
	return program{in: in, out: out, stderr: p.stderr, wait: wait, kill: kill}
}

// MaxRefs bounds a list of refs and a push report, in bytes. It is enough for half a
// million refs; the repositories of the largest public hosts have fewer.
const MaxRefs = 32 << 20

var errKilled = errors.New("the other end was not waited for any longer")

// SaidError is an error of the other end, with its own words.
type SaidError struct {
	Said string
	Err  error
}

func (e *SaidError) Error() string { return fmt.Sprintf("%v (%s)", e.Err, e.Said) }
func (e *SaidError) Unwrap() error { return e.Err }

const (
	// goodbye is the time that a program has to end by itself.
	goodbye = 5 * time.Second
	// lastMoment is the time that Close waits for a killed program.
	lastMoment = time.Second
)

// Close ends the conversation and the program. Before any request it sends a flush, so that
// the server does not log a broken connection.
func (s *stream) Close() error {
	s.once.Do(func() {
		timer := time.AfterFunc(goodbye, s.kill)
		if !s.done && s.adv != nil {
			_, _ = s.in.Write(pktline.FlushPkt)
		}
		_ = s.in.Close()
		_ = s.wait()
		timer.Stop()
		s.stop()
		s.kill()
	})
	return nil
}

// failed closes the program, so that its stderr is complete, and adds stderr to err.
func (s *stream) failed(err error) error {
	s.done = true
	_ = s.Close()
	return &SaidError{Said: s.stderr.String(), Err: err}
}

func (s *stream) AdvertisedReferences() (*packp.AdvRefs, error) {
	return s.AdvertisedReferencesContext(context.Background())
}

// AdvertisedReferencesContext reads the list of refs once. It needs no context: newStream
// bound the program to one.
func (s *stream) AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error) {
	if s.adv != nil {
		return s.adv, nil
	}
	adv := packp.NewAdvRefs()
	if err := adv.Decode(bounded.Reader(s.out, MaxRefs)); err != nil && !errors.Is(err, packp.ErrEmptyAdvRefs) {
		return nil, s.failed(err)
	}
	transport.FilterUnsupportedCapabilities(adv.Capabilities)
	s.adv = adv
	return adv, nil
}

// UploadPack sends the request and returns the answer. Closing the answer closes the
// stream.
func (s *stream) UploadPack(_ context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	s.done = true
	if err := s.request(req); err != nil {
		return nil, s.failed(fmt.Errorf("asking for a pack: %w", err))
	}
	res := packp.NewUploadPackResponse(req)
	if err := res.Decode(struct {
		io.Reader
		io.Closer
	}{s.out, s}); err != nil {
		return nil, s.failed(fmt.Errorf("reading the answer: %w", err))
	}
	return res, nil
}

// request sends the "want", "shallow" and "have" lines and "done" at once, without a
// negotiation: certroll has one commit to name.
func (s *stream) request(req *packp.UploadPackRequest) error {
	if err := req.UploadRequest.Encode(s.in); err != nil {
		return err
	}
	if err := req.UploadHaves.Encode(s.in, true); err != nil {
		return err
	}
	return pktline.NewEncoder(s.in).Encodef("done\n")
}

// ReceivePack sends the push and returns the report.
func (s *stream) ReceivePack(_ context.Context, req *packp.ReferenceUpdateRequest) (*packp.ReportStatus, error) {
	s.done = true
	// A server that rejects a push early stops reading. Its report says more than the
	// broken pipe, so read the report even after a failed send.
	sendErr := req.Encode(s.in)
	_ = s.in.Close()
	report := packp.NewReportStatus()
	if err := report.Decode(demux(req.Capabilities, bounded.Reader(s.out, MaxRefs), req.Progress)); err != nil {
		return nil, s.failed(errors.Join(err, sendErr))
	}
	return report, report.Error()
}

// demux returns the pack or report from the sideband, if the sides agreed on one; see
// gitprotocol-pack(5).
func demux(caps *capability.List, r io.Reader, progress io.Writer) io.Reader {
	var d *sideband.Demuxer
	switch {
	case caps.Supports(capability.Sideband64k):
		d = sideband.NewDemuxer(sideband.Sideband64k, r)
	case caps.Supports(capability.Sideband):
		d = sideband.NewDemuxer(sideband.Sideband, r)
	default:
		return r
	}
	d.Progress = progress
	return d
}

// Words keeps the first maxWords bytes written to it and drops the rest, so that a
// talkative server costs no memory. It is safe for concurrent use.
type Words struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const maxWords = 64 << 10

func (t *Words) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room := maxWords - t.buf.Len(); room > 0 {
		t.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (t *Words) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
