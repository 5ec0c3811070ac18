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
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/credential"
	"certroll/spec/providers"
	"certroll/spec/redact"
)

// Pool holds the running DNS children, one for each account and set of credentials. A
// child stays for a while after its last use: a start takes a tenth of a second, and
// some providers need state from writing a record in order to remove it.
type Pool struct {
	opts   Options
	mu     sync.Mutex
	byKey  map[[32]byte]*child
	closed bool
	ended  sync.WaitGroup
}

// Options are the settings of the children. All are required except Command.
type Options struct {
	Command []string      // the child's command line; default: the installed certroll-dns
	Timeout time.Duration // one call to a provider
	Idle    time.Duration // idle time after which a child is stopped
	Logger  *slog.Logger
	// Credential reads a reference to a credential.
	Credential func(ctx context.Context, v spec.Value, form credential.Form) (string, error)
}

// NewPool makes a Pool without children.
func NewPool(o Options) *Pool {
	return &Pool{opts: o, byKey: map[[32]byte]*child{}}
}

// Proof is the answer to one dns-01 challenge (RFC 8555 section 8.4).
type Proof struct{ Domain, Token, KeyAuth string }

// Value returns the content of the TXT record: the base64url SHA-256 of the key
// authorization (RFC 8555 section 8.4).
func (p Proof) Value() string {
	sum := sha256.Sum256([]byte(p.KeyAuth))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Provider is one publication's use of an account's provider. It outlives the child: if
// the child dies, the next call starts another.
type Provider struct {
	children *Pool
	account  *spec.DNSAccount
	env      []string
	secrets  []string
	key      [32]byte
	child    *child              // nil after a child died and its restart failed
	opened   dnswire.Answer      // the provider's own settings
	Effect   providers.TXTEffect // the provider's effect on other TXT records at the name
}

// passedOn are the variables of certroll's environment that a child inherits: the
// operator's network settings. HOME is not among them, since ambient credentials lie
// there (~/.aws, ~/.config/gcloud), nor is any variable of certroll's own.
var passedOn = []string{
	"PATH", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
}

// withoutIdentity hides the machine's identities from a provider. Otherwise an author of
// a dns block could act as the instance role, as the az or gcloud user, or with a key in
// the home directory. HOME is set to a missing path, because clients without HOME read
// the home directory from /etc/passwd.
var withoutIdentity = []string{
	"HOME=/nonexistent", "PATH=/nonexistent", "XDG_CONFIG_HOME=/nonexistent", "APPDATA=/nonexistent", "USERPROFILE=/nonexistent",
	"AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_CONFIG_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true",
	"CLOUDSDK_CONFIG=/nonexistent", "GCE_METADATA_HOST=127.0.0.1:1", "NO_GCE_CHECK=true",
	"AZURE_CONFIG_DIR=/nonexistent", "OCI_CONFIG_FILE=/nonexistent", "OS_CLIENT_CONFIG_FILE=/nonexistent", "SCW_CONFIG_PATH=/nonexistent",
}

// Open reads the account's credentials and starts a child with them, or joins a running
// one.
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
	// A reference may lead to an address, which the decoder could not check.
	if name := account.CheckResolved(values); name != "" {
		why := "it leads to a server that trust.endpoints in certroll.hcl does not name"
		if providers.KindOf(name) == providers.Port {
			why = "it is no port, or " + why
		}
		return nil, problem.Config("using the DNS account "+account.Name, "what "+name+" refers to is not allowed: "+why,
			"write the address itself into the block, and allow it in certroll.hcl")
	}
	// After the references are read: the key covers the credentials' values.
	p.key, p.Effect = p.digest(), account.TXTEffect(values)
	child, err := cs.acquire(ctx, p)
	if err != nil {
		return nil, err
	}
	p.child, p.opened = child, child.opened
	return p, nil
}

// formOf returns the form that the value of a provider's variable must have.
func formOf(name string) credential.Form {
	if strings.HasSuffix(name, "_TSIG_SECRET") {
		return credential.Base64
	}
	return credential.Token
}

// digest identifies an account with its present settings, so that a changed credential
// gets a new child.
func (p *Provider) digest() [32]byte {
	text, _ := json.Marshal([]any{ // strings, numbers and booleans: cannot fail
		p.account.Name, p.account.Provider, p.env, dnsquery.Nameservers(p.account), p.account.FollowCNAME, p.account.Parallel,
	})
	return sha256.Sum256(text)
}

// Release ends the use. The child stays for Options.Idle.
func (p *Provider) Release() {
	if p.child != nil {
		p.children.release(p.child)
	}
}

// call sends a request to a living child, and starts one if needed.
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

// Timeout returns the time within which the provider expects its records to be visible.
func (p *Provider) Timeout() time.Duration { return p.opened.Timeout }

// Interval returns the provider's suggested pause between checks for visibility.
func (p *Provider) Interval() time.Duration { return p.opened.Interval }

// OneAtATime reports whether challenges must be answered one after another, each from
// the write to the removal. lego marks such providers Sequential. Their APIs hold one
// value per name (mijn.host, Hurricane Electric) or per account (DuckDNS), or they
// replace the whole record set (lego's rfc2136 with a GSS-TSIG key; for other keys
// package dnschild writes single records). The interval that Sequential returns is the
// propagation timeout in all 22 of them, not a requirement of the API; package publish
// computes the necessary wait instead. Providers that replace the set without the mark
// have Effect ReplacesTXT.
func (p *Provider) OneAtATime() bool { return p.opened.Sequential || p.Effect == providers.ReplacesTXT }

// WholeAccount reports whether the account can answer only one challenge at a time; for
// other sequential providers the limit is per record name.
func (p *Provider) WholeAccount() bool {
	return p.opened.Sequential && p.account.Provider != "rfc2136" && p.account.Provider != "dnsupdate"
}

// acquire returns a started, open child for the provider's settings.
func (cs *Pool) acquire(ctx context.Context, p *Provider) (*child, error) {
	doing := "starting the provider " + p.account.Provider + " of the DNS account " + p.account.Name
	cs.mu.Lock()
	if cs.closed {
		cs.mu.Unlock()
		return nil, &problem.Error{OfClass: ledger.ClassInternal, Doing: doing, Said: "the client is closed"}
	}
	ch := cs.byKey[p.key]
	if ch == nil || ch.dead() {
		// In the map before it has started, so that concurrent callers share one start.
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

// release ends one use. A child without users stops after Options.Idle.
func (cs *Pool) release(ch *child) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if ch.users--; ch.users > 0 || cs.closed {
		return
	}
	ch.idle = time.AfterFunc(cs.opts.Idle, func() { cs.retire(ch) })
}

// retire stops an idle child, unless a call has taken it since the timer fired.
func (cs *Pool) retire(ch *child) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if ch.users > 0 {
		return
	}
	cs.forget(ch)
	ch.stop()
}

// forget removes a child from the pool. The caller holds mu.
func (cs *Pool) forget(ch *child) {
	if cs.byKey[ch.key] == ch {
		delete(cs.byKey, ch.key)
	}
}

// Close stops all children and waits for their end.
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

// tail keeps the last lines of a child's standard error.
type tail struct {
	mu    sync.Mutex
	lines []string
}

// tailLines and tailWidth bound these lines.
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
