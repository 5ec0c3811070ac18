// Package dnschild is the body of certroll-dns. It runs one of lego's DNS providers for
// the parent, over standard input and output, by the protocol of package dnswire.
//
// The provider's credentials are this process's environment. The package does not link
// the providers itself: the command passes them in, so that tests of the protocol
// compile none. It never sees Vault, Git, a CA or a private key.
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

// Options are the settings of Serve.
type Options struct {
	// Open makes the provider of a code from the environment. It fails for an unknown
	// code.
	Open    func(code string) (challenge.Provider, error)
	Version string // the release; empty for a development build
}

// Serve reads requests from in and writes answers to out until in ends. Call it once per
// process: lego's provider settings are global.
func Serve(ctx context.Context, in io.Reader, out io.Writer, o Options) error {
	s := &server{opts: o, out: json.NewEncoder(out)}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, dnswire.MaxLine)
	for lines.Scan() && ctx.Err() == nil {
		var r dnswire.Request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return fmt.Errorf("reading a request: %w", err)
		}
		// The parent limits the concurrency. Requests that are still running when in
		// ends get no answer.
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
	_ = s.out.Encode(a) // a missing parent needs no answer
}

// do runs one request. A panic of the provider becomes an error.
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

// open makes the provider. lego keeps these settings in globals, which is one reason for
// the child process. A parent with another protocol version may expect more than this
// child supports, so open does nothing for it.
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

// change writes or removes a TXT record. It refuses if the provider would use another
// record name than the parent.
func (s *server) change(r dnswire.Request) error {
	if s.provider == nil {
		return errors.New("no provider is open")
	}
	// The provider resolves CNAMEs itself and treats a failure as "no CNAME". Write only
	// if it resolves the name that the parent will check.
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
