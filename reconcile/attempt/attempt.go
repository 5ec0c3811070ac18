package attempt

import (
	"context"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/audit"
	"certroll/reconcile/keypair"
	"certroll/reconcile/lease"
	"certroll/reconcile/ledger"
	"certroll/reconcile/limiter"
	"certroll/reconcile/observe"
	"certroll/reconcile/pending"
	"certroll/reconcile/plan"
	"certroll/reconcile/recorder"
	"certroll/spec"
	"certroll/spec/redact"
	"certroll/spec/text"
)

// Applier is one Apply: a plan's spec and revision.
type Applier struct {
	*Means
	Desired  *spec.Spec
	Revision ledger.Revision
	Gate     *limiter.LimiterPass
	Known    map[string]*ledger.Record // as it was when the run began
}

func (ap *Applier) Clock() time.Time { return ap.Opts.Now() }

func (ap *Applier) resolve(ctx context.Context, v spec.Value) (string, error) {
	return ap.Opts.Resolve(ctx, v)
}

func (a *Attempt) Report(step, detail string) {
	switch step {
	case StepRecord:
		a.records.add(detail)
		return
	case StepPublished:
		a.published.add(detail)
		return
	case StepChain:
		a.chainNote = detail
	}
	a.Colleagues.Stepped(a.Action.Certificate, step, a.Opts.Redact.Strike(text.FirstLine(detail)))
	a.Opts.Progress(a.Action.Certificate, step, detail)
}

// actor names who is behind an action: the author of the commit that asked for
// it, the time that came, or whoever changed Vault.
func (ap *Applier) actor(reason ledger.Reason) (actor, cause string) {
	switch reason {
	case ledger.ReasonThreshold, ledger.ReasonExpired, ledger.ReasonUnfinished, ledger.ReasonWindow, ledger.ReasonRevoking, ledger.ReasonKeyAge, ledger.ReasonOverdue, ledger.ReasonRevoked:
		return text.FirstOf(ap.Opts.Actor, "schedule"), "schedule"
	case ledger.ReasonDrifted, ledger.ReasonLeftAlone, ledger.ReasonDeleted, ledger.ReasonForeign, ledger.ReasonNextKeyLost:
		return text.FirstOf(ap.Opts.Actor, "schedule"), "drift"
	default:
		return text.FirstOf(ap.Revision.Author, ap.Opts.Actor, "unknown"), "spec"
	}
}

// Options are Apply's settings; the zero value is good.
type Options struct {
	Parallel int              // certificates at once; 0: 16
	Actor    string           // who runs it, where no commit's author is the cause; "": schedule
	Now      func() time.Time // nil: time.Now
	Lease    lease.Lease      // nil: no lease
	// LeaseWait is how long Apply waits for a lease that another holds.
	LeaseWait time.Duration
	// Progress is told what each certificate waits for. It is called from
	// many goroutines.
	Progress func(certificate, step, detail string)
	// Patience are the waits before the CA, where it is away, is tried again
	// within one attempt; nil: 20 seconds and 100 seconds.
	Patience []time.Duration
	// Moments keeps when CAs may be asked for renewal information again; nil:
	// nothing does, each process asks anew.
	Moments Moments
	// CRLs fetches the lists that say whether what is live was revoked; nil: that is
	// not looked up.
	CRLs CRLSource
	// Examiner looks ahead; nil: Examine and Doctor cannot be used.
	Examiner Examiner
	// Anchor keeps how far the ledger had come; nil: nothing does.
	Anchor audit.Anchor
	// Rewound is told of a ledger that is found rewritten, once.
	Rewound func(archive.Breach)
	// Resolve follows references of the spec, for keystore passwords.
	Resolve func(context.Context, spec.Value) (string, error)
	// Redact strikes the secrets that Resolve returned out of everything that the
	// ledger is told; nil: none is known.
	Redact *redact.Redactor
}

// Means are what all attempts of a process work with.
type Means struct {
	Secrets        pending.KV
	Ca             CA
	Observer       *observe.Observer
	PendingSecrets *pending.Secrets
	Next           *pending.NextKeys
	Leaves         *pending.Leaves
	Asks           *Asks
	Limiter        *limiter.Limiter
	Absence        absence
	orderTurns     OrderTurns
	Opts           Options
	Colleagues     colleagues
	*recorder.Recorder
}

// colleagues are those at work beside an attempt.
type colleagues interface {
	// Stepped notes what an attempt is at.
	Stepped(certificate, step, detail string)
	// HandOver lets those go on who wait for a place.
	HandOver()
	// Unfinished are the certificates that are at work or ready, sorted.
	Unfinished() []string
}

// Result is how one action ended.
type Result struct {
	Action plan.Action
	Event  ledger.Event // zero where the run was interrupted
	Err    error        // nil after a success
	// Untold is why the event is recorded neither in the journal nor in the ledger;
	// nil where it is. What a success has written is live all the same.
	Untold error
}

// Attempt is one run of one action. Its steps share one signature; each looks
// at the facts first, so that a step already done by an earlier run is passed.
type Attempt struct {
	*Applier
	Action  plan.Action
	began   time.Time
	Pending *pending.Secret
	pair    keypair.Pair
	Live    *ledger.Live // what is live after it

	orderURL    string              // the last order that was asked for
	orders      int                 // made in this attempt, and given up by it
	passedOver  []ledger.PassedOver // DNS accounts that failed before another worked
	records     records             // the names that TXT records went to
	chainNote   string              // why the chain is not the one that was wanted
	published   records             // the DNS accounts that answered for a name
	credentials map[string]string   // the versions of the DNS accounts' credentials before it
	said        *ledger.RenewalInfo // of what is live after it
	revoked     string              // the serial that was revoked
	settled     string              // the serial that waits for it no more
	drift       string              // what became of a version that somebody else wrote
	refusedCert bool                // the CA issued a certificate that was not written
	unrevoked   *ledger.Revocation  // what still has to be
	notRevoked  error               // why
	unkept      error               // why what is to be revoked is not kept
	forgets     string              // the serial that was kept and is no more needed
	unread      error               // why the staged key is not used
	unstaged    error               // why the next one is not staged
	unswept     []string            // TXT records of earlier runs that could not be removed
	swept       bool                // those of orders that were given up
	left        []ledger.LeftBehind // where tidied: what stays of secrets that were moved away from
	tidied      bool                // those were looked at
	deleted     []string            // of them
	untidied    []string            // why some could not be
}

func (a *Attempt) liveOf(d *pending.Secret, version int) *ledger.Live {
	leaf := a.pair.Leaf()
	l := &ledger.Live{
		Serial: keypair.SerialOf(leaf), NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC(),
		Names: d.Names, NamesDigest: keypair.NamesDigest(d.Names),
		KeyDigest: d.KeyDigest, KeyShape: d.KeyShape, KeySince: d.KeySince,
		Issuer: d.Issuer, Directory: d.Directory, Profile: d.Profile,
		Mount: d.At.Mount, Path: d.At.Path, Version: version,
		Revision: d.Revision, File: a.Action.Spec.File, Rotate: d.Rotate, IssuedAt: d.Started.Truncate(time.Second),
		ARI: plan.AriID(leaf), DNSAccount: d.Account,
	}
	if l.KeySince.IsZero() {
		l.KeySince = l.IssuedAt
	}
	l.SetChain(a.pair.Chain, a.ownLive())
	l.ChainNote = a.chainNote
	if old := a.Action.Secret.Live; old != nil && old.KeyDigest == l.KeyDigest {
		l.File = old.File // by whose word the key was made, see changesHands
	}
	return l
}

// describe writes the custom metadata, by which plans know the pair.
func (a *Attempt) describe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease.WriteTimeout)
	defer cancel()
	loc := ledger.Location{Mount: a.Live.Mount, Path: a.Live.Path}
	seen, err := a.Observer.Secret(ctx, loc)
	if err != nil {
		return err
	}
	if seen.Owner == a.Action.Certificate && seen.Live.Serial == a.Live.Serial && !seen.Behind() && seen.Live.SameNext(a.Live) {
		return nil
	}
	return a.Secrets.WriteMetadata(ctx, loc.Mount, loc.Path, observe.EncodeMeta(seen.Custom, a.Action.Certificate, a.Live))
}

// ownLive is what certroll keeps at the action's place; nil where it is nothing.
func (a *Attempt) ownLive() *ledger.Live {
	if s := a.Action.Secret; s.Readable && s.Owner == a.Action.Certificate {
		return s.Live
	}
	return nil
}
