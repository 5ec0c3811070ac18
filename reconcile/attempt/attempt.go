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

// Applier runs the actions of one plan: it holds the plan's spec and revision.
type Applier struct {
	*Means
	Desired  *spec.Spec
	Revision ledger.Revision
	Pass     *limiter.Pass
	Known    map[string]*ledger.Record // the records at the start of the run
}

// Clock returns the current time.
func (ap *Applier) Clock() time.Time { return ap.Opts.Now() }

func (ap *Applier) resolve(ctx context.Context, v spec.Value) (string, error) {
	return ap.Opts.Resolve(ctx, v)
}

// Report records an attempt's progress. Some steps carry data for the record; the others
// go to Options.Progress. detail may quote a CA or DNS provider, so secrets are redacted
// before it leaves the process.
func (a *Attempt) Report(step, detail string) {
	switch step {
	case StepRecord:
		a.records.add(detail)
		return
	case StepPublished:
		a.published.add(detail)
		return
	case StepTurn:
		if detail == "" {
			a.turns.end(a.Clock())
			return
		}
		a.turns.begin(a.Clock(), detail)
	case StepChain:
		a.chainNote = detail
	}
	a.Colleagues.Stepped(a.Action.Certificate, step, a.Opts.Redact.Strike(text.FirstLine(detail)))
	a.Opts.Progress(a.Action.Certificate, step, detail)
}

// actor names the cause of an action: the author of the commit that requested it, the
// schedule, or drift if another program changed Vault.
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

// Options are the settings of Apply; the zero value is usable.
type Options struct {
	Parallel int              // certificates at once; 0: 16
	Actor    string           // operator, if no commit caused the action; "": schedule
	Now      func() time.Time // nil: time.Now
	Lease    lease.Lease      // nil: no lease
	// LeaseWait is how long Apply waits for a lease that another process holds.
	LeaseWait time.Duration
	// Progress receives each step of each certificate, from many goroutines at once.
	Progress func(certificate, step, detail string)
	// Patience lists the waits before an attempt retries an unavailable CA; nil: 20 and
	// 100 seconds.
	Patience []time.Duration
	// Moments persists when CAs may be asked for renewal information again; nil: each
	// process starts without.
	Moments Moments
	// CRLs fetches the revocation lists by which certroll detects a revoked live
	// certificate; nil: certroll does not check.
	CRLs CRLSource
	// Examiner checks prerequisites of renewals; nil: Examine and Doctor are unavailable.
	Examiner Examiner
	// Anchor stores the checkpoint of the ledger; nil: certroll keeps none.
	Anchor audit.Anchor
	// Rewound is called once for each rewind of the ledger that is detected.
	Rewound func(archive.Breach)
	// Resolve reads the referenced values of the spec, such as keystore passwords.
	Resolve func(context.Context, spec.Value) (string, error)
	// Redact removes the secrets that Resolve returned from everything that is written to
	// the ledger; nil: there are none.
	Redact *redact.Redactor
}

// Means holds what all attempts of a process share.
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

// colleagues gives an attempt access to the other running attempts.
type colleagues interface {
	// Stepped records the current step of an attempt.
	Stepped(certificate, step, detail string)
	// HandOver lets the attempts that wait for a place check again.
	HandOver()
	// Unfinished returns the sorted names of certificates that are running or ready.
	Unfinished() []string
}

// Result is the outcome of one action.
type Result struct {
	Action plan.Action
	Event  ledger.Event // zero if the run was interrupted
	Err    error        // nil after a success
	// Unrecorded is the error that kept the event out of both the journal and the ledger; nil
	// if it was written. The secret that a success wrote is live in either case.
	Unrecorded error
}

// Attempt is one run of one action. All steps have the same signature. Each step first
// checks the facts, so that it skips work that an earlier run completed.
type Attempt struct {
	*Applier
	Action  plan.Action
	began   time.Time
	Pending *pending.Secret
	pair    keypair.Pair
	Live    *ledger.Live // the pair that is live after the attempt

	waited      time.Duration       // for its turn to order
	turns       turns               // its waits for others while it worked on the order
	ordersAnew  bool                // nothing is left to put back: a new certificate is ordered
	orderURL    string              // URL of the last order created
	orders      int                 // orders created in this attempt, including abandoned ones
	passedOver  []ledger.PassedOver // DNS accounts that failed before another worked
	records     records             // the names that TXT records went to
	chainNote   string              // why the chain differs from the wanted one
	published   records             // DNS accounts that answered for a name
	credentials map[string]string   // versions of the DNS accounts' credentials before the attempt
	said        *ledger.RenewalInfo // renewal information of Live
	revoked     string              // serial that was revoked
	settled     string              // serial that no longer waits for its revocation
	drift       string              // what happened to a version that another program wrote
	refusedCert bool                // the CA issued a certificate that was not written
	unrevoked   *ledger.Revocation  // revocation that still has to be done
	notRevoked  error               // why unrevoked is not done
	leafErr     error               // why the certificate to be revoked could not be kept
	forgets     string              // serial of a kept certificate that is no longer needed
	unread      error               // why the staged key is not used
	unstaged    error               // why the next key is not staged
	unswept     []string            // TXT records of earlier runs that could not be removed
	swept       bool                // the records of abandoned orders were swept
	left        []ledger.LeftBehind // if tidied: secrets that the certificate moved away from and that remain
	tidied      bool                // the secrets left behind were checked
	deleted     []string            // those of them that were deleted
	untidied    []string            // errors of those that could not be checked or deleted
}

// liveOf returns the live pair after the pending secret's pair was written as a version.
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
	// Zero means that this attempt generated the key.
	if l.KeySince.IsZero() {
		l.KeySince = l.IssuedAt
	}
	l.SetChain(a.pair.Chain, a.ownLive())
	l.ChainNote = a.chainNote
	if old := a.Action.Secret.Live; old != nil && old.KeyDigest == l.KeyDigest {
		l.File = old.File // the block that had the key made, see changesHands
	}
	return l
}

// describe writes the custom metadata, from which later plans know the pair. It skips the
// write if the metadata is already current.
func (a *Attempt) describe(ctx context.Context) error {
	// The secret is written. Its metadata has to follow even if certroll is told to stop:
	// until then the next plan does not know the version.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease.WriteTimeout)
	defer cancel()
	loc := ledger.Location{Mount: a.Live.Mount, Path: a.Live.Path}
	seen, err := a.Observer.Secret(ctx, loc)
	if err != nil {
		return err
	}
	if seen.Owner == a.Action.Certificate && seen.Live.Serial == a.Live.Serial && !seen.IsStale() && seen.Live.SameNext(a.Live) {
		return nil
	}
	// KV v2 replaces all keys: EncodeMeta keeps those of other programs.
	return a.Secrets.WriteMetadata(ctx, loc.Mount, loc.Path, observe.EncodeMeta(seen.Custom, a.Action.Certificate, a.Live))
}

// ownLive returns the pair that certroll wrote at the action's place, or nil.
func (a *Attempt) ownLive() *ledger.Live {
	if s := a.Action.Secret; s.Readable && s.Owner == a.Action.Certificate {
		return s.Live
	}
	return nil
}

// worked returns how long the attempt has been at work, without the wait for its turn.
func (a *Attempt) worked() time.Duration { return a.Clock().Sub(a.began) - a.waited }
