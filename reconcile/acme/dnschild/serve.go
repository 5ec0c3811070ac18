// Package dnschild is the body of certroll-dns: it runs one DNS provider of
// lego's for the parent at the other end of standard input and output, by the
// protocol of package dnswire.
//
// The provider's credentials are this process's environment. It never links
// the providers itself: the command hands them in, so that tests of the
// protocol compile none. It never sees Vault, Git, a CA or a private key.
package dnschild

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"certroll/reconcile/acme/dnswire"

	"github.com/go-acme/lego/v4/challenge"
	"github.com/go-acme/lego/v4/challenge/dns01"
)

// Options are what the command knows.
type Options struct {
	// Open makes the provider of a code, from the environment. It fails for a
	// code that it does not know.
	Open    func(code string) (challenge.Provider, error)
	Version string // the release; empty for a build that is none
}

// Serve answers the requests of in on out until in ends. One process serves
// once: what a provider is set up with is global in lego.
func Serve(ctx context.Context, in io.Reader, out io.Writer, o Options) error {
	s := &server{opts: o, out: json.NewEncoder(out)}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, dnswire.MaxLine)
	for lines.Scan() && ctx.Err() == nil {
		var r dnswire.Request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return fmt.Errorf("reading a request: %w", err)
		}
		// Each in a goroutine of its own: how many run at once is the parent's
		// choice. When in ends nobody waits for their answers any more.
		go s.serve(r)
	}
	return lines.Err()
}

type server struct {
	opts     Options
	mu       sync.Mutex // guards out
	out      *json.Encoder
	provider challenge.Provider
}

func (s *server) serve(r dnswire.Request) {
	a := s.do(r)
	a.ID = r.ID
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.out.Encode(a) // a parent that is gone needs no answer
}

// do runs one request. A provider that panics has failed at it, no more.
func (s *server) do(r dnswire.Request) (a dnswire.Answer) {
	defer func() {
		if p := recover(); p != nil {
			a = dnswire.Answer{Error: fmt.Sprintf("the provider panicked: %v", p)}
		}
	}()
	switch r.Op {
	case dnswire.OpHello:
		return dnswire.Answer{Program: dnswire.Program, Version: s.opts.Version, Protocol: dnswire.Protocol}
	case dnswire.OpOpen:
		a = s.open(r)
		a.Protocol = dnswire.Protocol
		return a
	}
	if err := s.change(r); err != nil {
		return dnswire.Answer{Error: err.Error()}
	}
	return dnswire.Answer{}
}

// open makes the provider. What it sets is global in lego, which is one
// reason for this process. A parent of another protocol may have asked for
// more than this child understands: nothing is opened for it.
func (s *server) open(r dnswire.Request) dnswire.Answer {
	if r.Protocol != dnswire.Protocol {
		return dnswire.Answer{}
	}
	if s.provider != nil {
		return dnswire.Answer{Error: "the provider " + strconv.Quote(r.Provider) + " cannot be opened here"}
	}
	if err := os.Setenv("LEGO_DISABLE_CNAME_SUPPORT", strconv.FormatBool(!r.FollowCNAME)); err != nil {
		return dnswire.Answer{Error: err.Error()}
	}
	if err := dns01.AddRecursiveNameservers(r.Nameservers)(nil); err != nil {
		return dnswire.Answer{Error: err.Error()}
	}
	provider, err := s.opts.Open(r.Provider)
	if err != nil {
		return dnswire.Answer{Error: err.Error()}
	}
	s.provider = provider
	a := dnswire.Answer{}
	if p, ok := provider.(challenge.ProviderTimeout); ok {
		a.Timeout, a.Interval = p.Timeout()
	}
	_, a.Sequential = provider.(interface{ Sequential() time.Duration })
	return a
}

func (s *server) change(r dnswire.Request) error {
	if s.provider == nil {
		return errors.New("no provider is open")
	}
	// The provider looks for CNAMEs itself, and takes a failure for "none".
	// Nothing is written unless it will write where the parent will look.
	if name := dns01.GetChallengeInfo(r.Domain, r.KeyAuth).EffectiveFQDN; !strings.EqualFold(name, r.Name) {
		return fmt.Errorf("temporary: the resolvers lead to %s now and led to %s a moment ago", name, r.Name)
	}
	call := s.provider.CleanUp
	if r.Op == dnswire.OpPresent {
		call = s.provider.Present
	}
	if err := call(r.Domain, r.Token, r.KeyAuth); err != nil {
		return withServerWord(err, r.Name)
	}
	return nil
}
