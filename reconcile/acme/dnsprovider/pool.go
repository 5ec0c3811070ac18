package dnsprovider

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"certroll/reconcile/acme/dnsquery"
	"certroll/reconcile/acme/dnswire"
	"certroll/reconcile/acme/problem"
	"certroll/spec"
	"certroll/spec/credential"
	"certroll/spec/providers"
	"certroll/spec/redact"
)

// Pool are the DNS children that run: one for each account with the
// credentials it has now, kept while in use and a little longer, since a
// start costs a tenth of a second and some providers remember between writing
// a record and removing it what they wrote.
type Pool struct {
	opts   Options
	mu     sync.Mutex
	byKey  map[[32]byte]*child
	closed bool
	ended  sync.WaitGroup
}

// Options are the settings of the children. All are required but Command.
type Options struct {
	Command []string      // of the child; the installed certroll-dns unless set
	Timeout time.Duration // one call to a provider
	Idle    time.Duration // how long an unused child is kept
	Logger  *slog.Logger
	// Credential follows a reference to a credential.
	Credential func(ctx context.Context, v spec.Value, form credential.Form) (string, error)
}

// NewPool makes a Pool without a child.
func NewPool(o Options) *Pool {
	return &Pool{opts: o, byKey: map[[32]byte]*child{}}
}

// Proof is the answer to one dns-01 challenge (RFC 8555 section 8.4).
type Proof struct{ Domain, Token, KeyAuth string }

// Value is what the TXT record must hold.
func (p Proof) Value() string {
	sum := sha256.Sum256([]byte(p.KeyAuth))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Provider is the use of an account's provider by one publication. It outlives
// the child: should that die, the next call starts another.
type Provider struct {
	children *Pool
	account  *spec.DNSAccount
	env      []string
	secrets  []string
	key      [32]byte
	child    *child              // nil after a child died and none could be started
	opened   dnswire.Answer      // what the provider said of itself
	Effect   providers.TXTEffect // what it does to the TXT records of others
}

// passedOn are the variables of the reconciler's own environment that its
// children get: how to reach the network, which is the operator's to say.
// Neither HOME, where ambient credentials lie (~/.aws, ~/.config/gcloud), nor
// any variable of the reconciler's is among them.
var passedOn = []string{
	"PATH", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
}

// withoutIdentity keeps the identities of the machine from a provider: whoever may
// write a dns block could else act as the instance role, as the user that logged
// in by az or gcloud, or by a key in a home directory. The clients look the home up in /etc/passwd
// where HOME is not set, so that it is set to what is not there.
var withoutIdentity = []string{
	"HOME=/nonexistent", "PATH=/nonexistent", "XDG_CONFIG_HOME=/nonexistent", "APPDATA=/nonexistent", "USERPROFILE=/nonexistent",
	"AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_CONFIG_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true",
	"CLOUDSDK_CONFIG=/nonexistent", "GCE_METADATA_HOST=127.0.0.1:1", "NO_GCE_CHECK=true",
	"AZURE_CONFIG_DIR=/nonexistent", "OCI_CONFIG_FILE=/nonexistent", "OS_CLIENT_CONFIG_FILE=/nonexistent", "SCW_CONFIG_PATH=/nonexistent",
}

// Open resolves the account's credentials and sees to a child that has them.
func (cs *Pool) Open(ctx context.Context, account *spec.DNSAccount) (*Provider, error) {
	if len(account.Held) > 0 {
		return nil, problem.Held("using the DNS account "+account.Name, account.Held)
	}
	p := &Provider{children: cs, account: account}
	for _, name := range passedOn {
		if v, ok := os.LookupEnv(name); ok {
			p.env = append(p.env, name+"="+v)
		}
	}
	if !account.Reach.Ambient {
		p.env = append(p.env, withoutIdentity...)
	}
	values := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(account.Credentials)) {
		v := account.Credentials[name]
		text, err := cs.opts.Credential(ctx, v, formOf(name))
		if err != nil {
			return nil, problem.Unresolved(ctx, "reading the credentials of the DNS account "+account.Name, name, err)
		}
		values[name] = text
		p.env = append(p.env, name+"="+text)
		if v.Source != spec.Literal {
			p.secrets = append(p.secrets, text)
		}
	}
	if name := account.CheckResolved(values); name != "" {
		return nil, problem.Config("using the DNS account "+account.Name, "what "+name+" refers to is not allowed: it leads to a server that trust.endpoints in certroll.hcl does not name",
			"write the address itself into the block, and allow it in certroll.hcl")
	}
	p.key, p.Effect = p.digest(), account.TXTEffect(values)
	child, err := cs.acquire(ctx, p)
	if err != nil {
		return nil, err
	}
	p.child, p.opened = child, child.opened
	return p, nil
}

// formOf is the form of a provider's variable.
func formOf(name string) credential.Form {
	if strings.HasSuffix(name, "_TSIG_SECRET") {
		return credential.Base64
	}
	return credential.Token
}

// digest tells two settings of one account apart, such as before and after a
// change of its key.
func (p *Provider) digest() [32]byte {
	text, _ := json.Marshal([]any{ // strings, numbers and truths: cannot fail
		p.account.Name, p.account.Provider, p.env, dnsquery.Nameservers(p.account), p.account.FollowCNAME, p.account.Parallel,
	})
	return sha256.Sum256(text)
}

// Release ends the use. The child is kept a little longer.
func (p *Provider) Release() {
	if p.child != nil {
		p.children.release(p.child)
	}
}

// call runs fn on a living child.
func (p *Provider) call(ctx context.Context, request dnswire.Request) error {
	if p.child == nil || p.child.dead() {
		p.Release()
		p.child = nil
		child, err := p.children.acquire(ctx, p)
		if err != nil {
			return err
		}
		p.child = child
	}
	return p.child.change(ctx, request)
}

// Present writes the TXT record of an answer at a name.
func (p *Provider) Present(ctx context.Context, answer Proof, name string) error {
	return p.call(ctx, dnswire.Request{Op: dnswire.OpPresent, Domain: answer.Domain, Token: answer.Token, KeyAuth: answer.KeyAuth, Name: name})
}

// Cleanup removes the TXT record of an answer from a name.
func (p *Provider) Cleanup(ctx context.Context, answer Proof, name string) error {
	return p.call(ctx, dnswire.Request{Op: dnswire.OpCleanup, Domain: answer.Domain, Token: answer.Token, KeyAuth: answer.KeyAuth, Name: name})
}

// Timeout is how long the provider's records may need to be seen, by its own word.
func (p *Provider) Timeout() time.Duration { return p.opened.Timeout }

// Interval is how often to look for them, by its own word.
func (p *Provider) Interval() time.Duration { return p.opened.Interval }

// OneAtATime reports whether challenges must be answered one after another,
// each from writing to removal. lego marks such providers Sequential: their
// APIs hold one value at a name (mijn.host, Hurricane Electric), or in the
// whole account (DuckDNS), or, as lego's rfc2136 does, they replace the whole
// record set. The interval that goes with the mark is the propagation timeout
// in all 22 of them, no API's demand; package publish tells what is waited for instead.
// Others replace the set and have no mark.
func (p *Provider) OneAtATime() bool { return p.opened.Sequential || p.Effect == providers.ReplacesTXT }

// WholeAccount reports whether it is the account that can answer one challenge
// at a time, and not only each record name.
func (p *Provider) WholeAccount() bool {
	return p.opened.Sequential && p.account.Provider != "rfc2136" && p.account.Provider != "dnsupdate"
}

// acquire returns the child for the provider's settings, started and open.
func (cs *Pool) acquire(ctx context.Context, p *Provider) (*child, error) {
	doing := "starting the provider " + p.account.Provider + " of the DNS account " + p.account.Name
	cs.mu.Lock()
	if cs.closed {
		cs.mu.Unlock()
		return nil, &problem.Error{OfClass: problem.ClassInternal, Doing: doing, Said: "the client is closed"}
	}
	ch := cs.byKey[p.key]
	if ch == nil || ch.dead() {
		ch = cs.newChild(p)
		cs.byKey[p.key] = ch
		cs.ended.Go(ch.live)
	}
	ch.users++
	if ch.idle != nil {
		ch.idle.Stop()
	}
	cs.mu.Unlock()
	select {
	case <-ch.ready:
		if ch.failed == nil {
			return ch, nil
		}
		cs.release(ch)
		return nil, ch.failed
	case <-ctx.Done():
		cs.release(ch)
		return nil, problem.Interrupted(ctx, doing)
	}
}

// release ends one use; a child that nobody uses is stopped after a while.
func (cs *Pool) release(ch *child) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if ch.users--; ch.users > 0 || cs.closed {
		return
	}
	ch.idle = time.AfterFunc(cs.opts.Idle, func() { cs.retire(ch) })
}

func (cs *Pool) retire(ch *child) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if ch.users > 0 {
		return
	}
	cs.forget(ch)
	ch.stop()
}

// forget must be called with mu held.
func (cs *Pool) forget(ch *child) {
	if cs.byKey[ch.key] == ch {
		delete(cs.byKey, ch.key)
	}
}

// Close ends all children and waits until they have.
func (cs *Pool) Close() error {
	cs.mu.Lock()
	cs.closed = true
	for _, ch := range cs.byKey {
		if ch.idle != nil {
			ch.idle.Stop()
		}
		ch.stop()
	}
	cs.mu.Unlock()
	cs.ended.Wait()
	return nil
}

func (cs *Pool) newChild(p *Provider) *child {
	return &child{
		children: cs, account: p.account, key: p.key, env: p.env, redact: redact.New(p.secrets...),
		room: make(chan struct{}, cmp.Or(max(p.account.Parallel, 0), 1)), stopped: make(chan struct{}),
		ready: make(chan struct{}), gone: make(chan struct{}), waiting: map[int]chan dnswire.Answer{},
		stderr: &tail{}, closeInput: func() {},
	}
}

// tail is the end of what a child wrote to its standard error.
type tail struct {
	mu    sync.Mutex
	lines []string
}

// tailLines and tailWidth bound what is kept of a child's standard error.
const (
	tailLines = 8
	tailWidth = 400
)

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, problem.ClipTo(tailWidth, line))
	if len(t.lines) > tailLines {
		t.lines = t.lines[1:]
	}
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, " / ")
}
