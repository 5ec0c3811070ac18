package acme

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	lego "github.com/go-acme/lego/v4/challenge"
	"github.com/go-acme/lego/v4/challenge/dns01"
	"github.com/go-acme/lego/v4/providers/dns"
)

// maxLine bounds one line of the protocol.
const maxLine = 1 << 20

// ServeChild is the body of the hidden command dns-child: it runs one lego DNS
// provider, whose credentials are this process's environment, for the parent
// at the other end of in and out, until in ends.
//
// It is for a process of its own. It ignores the signals that a terminal or a
// service manager sends to all processes of a group, because the parent needs
// its children to remove their records before it ends; and what a provider
// prints goes to standard error, because out carries the protocol.
func ServeChild(ctx context.Context, in io.Reader, out io.Writer) error {
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	os.Stdout = os.Stderr
	c := &childServer{out: json.NewEncoder(out)}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() && ctx.Err() == nil {
		var r childRequest
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return fmt.Errorf("reading a request: %w", err)
		}
		// Each in a goroutine of its own: how many run at once is the parent's
		// choice. When in ends nobody waits for their answers any more.
		go c.serve(r)
	}
	return lines.Err()
}

type childServer struct {
	mu       sync.Mutex // guards out
	out      *json.Encoder
	provider lego.Provider
}

func (c *childServer) serve(r childRequest) {
	a := c.do(r)
	a.ID = r.ID
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.out.Encode(a) // a parent that is gone needs no answer
}

// do runs one request. A provider that panics has failed at it, no more.
func (c *childServer) do(r childRequest) (a childAnswer) {
	defer func() {
		if p := recover(); p != nil {
			a = childAnswer{Error: fmt.Sprintf("the provider panicked: %v", p)}
		}
	}()
	if r.Op == opOpen {
		return c.open(r)
	}
	if err := c.change(r); err != nil {
		return childAnswer{Error: err.Error()}
	}
	return childAnswer{}
}

// refused are providers of lego's that no config repo may reach: they run
// programs or wait for a person.
var refused = map[string]bool{"exec": true, "manual": true}

// open makes the provider. What it sets is global in lego, which is one
// reason for this process.
func (c *childServer) open(r childRequest) childAnswer {
	if c.provider != nil || refused[r.Provider] {
		return childAnswer{Error: "the provider " + strconv.Quote(r.Provider) + " cannot be opened here"}
	}
	if err := os.Setenv("LEGO_DISABLE_CNAME_SUPPORT", strconv.FormatBool(!r.FollowCNAME)); err != nil {
		return childAnswer{Error: err.Error()}
	}
	if err := dns01.AddRecursiveNameservers(r.Nameservers)(nil); err != nil {
		return childAnswer{Error: err.Error()}
	}
	provider, err := dns.NewDNSChallengeProviderByName(r.Provider)
	if err != nil {
		return childAnswer{Error: err.Error()}
	}
	c.provider = provider
	a := childAnswer{}
	if p, ok := provider.(lego.ProviderTimeout); ok {
		a.Timeout, a.Interval = p.Timeout()
	}
	_, a.Sequential = provider.(interface{ Sequential() time.Duration })
	return a
}

func (c *childServer) change(r childRequest) error {
	if c.provider == nil {
		return errors.New("no provider is open")
	}
	// The provider looks for CNAMEs itself, and takes a failure for "none".
	// Nothing is written unless it will write where the parent will look.
	if name := dns01.GetChallengeInfo(r.Domain, r.KeyAuth).EffectiveFQDN; !strings.EqualFold(name, r.Name) {
		return fmt.Errorf("temporary: the resolvers lead to %s now and led to %s a moment ago", name, r.Name)
	}
	call := c.provider.CleanUp
	if r.Op == opPresent {
		call = c.provider.Present
	}
	if err := call(r.Domain, r.Token, r.KeyAuth); err != nil {
		return withServerWord(err, r.Name)
	}
	return nil
}
