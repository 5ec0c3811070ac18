package review

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec"
)

// The kinds of change of a block.
const (
	ChangeAdded    = "added"
	ChangeRemoved  = "removed"
	ChangeChanged  = "changed"
	ChangeMoved    = "moved"    // a moved block gives the certificate another name
	ChangeAffected = "affected" // the block is unchanged, but a change elsewhere affects the certificate
)

// ChangeSet is the effect of a change of the config repo: the difference between the plan
// without the change and the plan with it. Both plans use the same observed state and time,
// so that everything that is due anyway cancels out.
//
//	base spec ── Plan ──┐
//	                    ├── same observed state, same time ── difference
//	head spec ── Plan ──┘
type ChangeSet struct {
	Blocks       []BlockChange       // issuer blocks, then dns blocks, sorted by name
	Certificates []CertificateChange // sorted by name
	Planned      plan.Plan           // the whole plan with the change
	Anyway       []plan.Action       // actions of Planned that are due without the change too
}

// BlockChange is an issuer or dns block that the change adds, removes or alters.
type BlockChange struct {
	Type     string // "issuer" or "dns"
	Name     string
	Change   string
	Settings []Setting
	// Credentials are the references to secrets that the block sends to its CA or provider.
	Credentials  []string
	Certificates int // certificates that use the block, or used the removed one
	At           hcl.Range
}

// CertificateChange is one certificate that the change alters or affects.
type CertificateChange struct {
	Name          string
	Change        string
	Settings      []Setting
	Old, New      *spec.Certificate // nil: not in that revision
	Before, After *plan.Action      // planned without and with the change; nil: no action
}

// ChangeOf compares two revisions of the spec on one observed state, which has to cover
// both (see plan.Union). It is a pure function.
func ChangeOf(base, head *spec.Spec, observed *plan.Observed, now time.Time) *ChangeSet {
	s := &ChangeSet{Blocks: BlockChanges(base, head)}
	before := plan.ByName(plan.New(base, asBase(observed, s.Blocks), now).Actions)
	s.Planned = plan.New(head, observed, now)
	after := plan.ByName(s.Planned.Actions)
	was, gone := plan.MovedIn(base, head, after)
	for _, name := range certificateNames(base, head, before, after) {
		// One row for a move: the former name would look like a removal.
		if gone[name] {
			continue // the new name shows the change
		}
		c := compare(name, base.Certificate(name), head.Certificate(name), before[name], after[name])
		if old := was[name]; old != nil {
			c = compare(name, old, head.Certificate(name), before[old.Name], after[name])
			c.Change = ChangeMoved
		}
		switch {
		case c.Change != "":
			s.Certificates = append(s.Certificates, c)
		// Due without the change too: the reviewer should not take it for an effect.
		case c.After != nil && c.After.Kind != ledger.KindNone:
			s.Anyway = append(s.Anyway, *c.After)
		}
	}
	return s
}

// asBase returns the observed state for planning the base. It leaves out the credential
// versions of changed DNS accounts: those were read with the references of the head.
func asBase(observed *plan.Observed, blocks []BlockChange) *plan.Observed {
	obs := *observed
	obs.Credentials = maps.Clone(observed.Credentials)
	for _, b := range blocks {
		if b.Type == "dns" {
			delete(obs.Credentials, b.Name)
		}
	}
	return &obs
}

// certificateNames returns all names of both revisions and of both plans, sorted. A plan also
// has the certificates that only the ledger knows.
func certificateNames(base, head *spec.Spec, before, after map[string]*plan.Action) []string {
	names := make(map[string]bool, len(after))
	for _, s := range []*spec.Spec{base, head} {
		for _, c := range s.Certificates {
			names[c.Name] = true
		}
	}
	for _, actions := range []map[string]*plan.Action{before, after} {
		for name := range actions {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// compare returns the effect of the change on one certificate; Change is "" if there is
// none.
func compare(name string, old, now *spec.Certificate, before, after *plan.Action) CertificateChange {
	c := CertificateChange{Name: name, Old: old, New: now, Before: before, After: after}
	switch {
	case old == nil && now != nil:
		c.Change = ChangeAdded
	case old != nil && now == nil:
		c.Change = ChangeRemoved
	case old != nil:
		c.Settings = differ(certificateSettings(old), certificateSettings(now))
		for i := range c.Settings {
			c.Settings[i].Effect = effectOf(c.Settings[i].Field, after)
		}
	}
	switch {
	case c.Change != "":
	case len(c.Settings) > 0:
		c.Change = ChangeChanged
	// The block is unchanged, but an issuer, a DNS account or a limit is not.
	case !SameAction(before, after):
		c.Change = ChangeAffected
	}
	return c
}

// SameAction reports whether two plans do the same with a certificate.
func SameAction(a, b *plan.Action) bool {
	if a == nil || b == nil {
		return a == b
	}
	same := a.Kind == b.Kind && a.Reason == b.Reason && a.Wants == b.Wants && slices.Equal(a.Changes, b.Changes)
	// The end of a hold counts. For other kinds NotBefore follows from the reason.
	if a.Kind == ledger.KindHold {
		same = same && a.NotBefore.Equal(b.NotBefore)
	}
	return same
}

// BlockChanges compares the issuer and dns blocks. They decide to which host certroll sends
// credentials.
func BlockChanges(base, head *spec.Spec) []BlockChange {
	usesIssuer := func(c *spec.Certificate, name string) bool {
		return c.Issuer == name || slices.Contains(c.Fallbacks, name)
	}
	issuers := blocks[spec.Issuer]{"issuer", issuerSettings, IssuerCredentials, func(i *spec.Issuer) hcl.Range { return i.Range }, usesIssuer}
	usesAccount := func(c *spec.Certificate, name string) bool { return slices.Contains(c.DNS, name) }
	accounts := blocks[spec.DNSAccount]{"dns", accountSettings, accountCredentials, func(a *spec.DNSAccount) hcl.Range { return a.Range }, usesAccount}
	return slices.Concat(issuers.compare(base.Issuers, head.Issuers, base, head), accounts.compare(base.DNS, head.DNS, base, head))
}

// blocks has the functions that compare the blocks of one type.
type blocks[T any] struct {
	kind        string
	settings    func(*T) settings
	credentials func(*T) []string
	at          func(*T) hcl.Range
	uses        func(*spec.Certificate, string) bool
}

// compare returns the blocks that differ between two revisions, by name.
func (k blocks[T]) compare(was, is map[string]*T, base, head *spec.Spec) []BlockChange {
	var list []BlockChange
	for _, name := range allNames(was, is) {
		b, block, users := BlockChange{Type: k.kind, Name: name}, is[name], head
		var old, now settings
		if was[name] != nil {
			old = k.settings(was[name])
		}
		if block != nil {
			now = k.settings(block)
		} else { // removed: the base has its place and its users
			block, users = was[name], base
		}
		b.Settings = differ(old, now)
		switch {
		case old == nil:
			b.Change = ChangeAdded
		case now == nil:
			b.Change = ChangeRemoved
		case len(b.Settings) > 0:
			b.Change = ChangeChanged
		default:
			continue
		}
		b.At, b.Credentials = k.at(block), k.credentials(block)
		for _, c := range users.Certificates {
			if k.uses(c, name) {
				b.Certificates++
			}
		}
		list = append(list, b)
	}
	return list
}

// allNames returns the keys of both maps, sorted, without duplicates.
func allNames[T any](a, b map[string]T) []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(names)
	return slices.Compact(names)
}

// IssuerCredentials returns the references to secrets that certroll sends to the issuer's
// CA.
func IssuerCredentials(i *spec.Issuer) []string {
	if i.EAB == nil {
		return nil
	}
	return references(i.EAB.KeyID, i.EAB.HMAC)
}

// accountCredentials returns the references to secrets that certroll sends to the provider
// of a DNS account.
func accountCredentials(a *spec.DNSAccount) []string {
	values := make([]spec.Value, 0, len(a.Credentials))
	for _, name := range slices.Sorted(maps.Keys(a.Credentials)) {
		values = append(values, a.Credentials[name])
	}
	return references(values...)
}

// references renders the values that refer to a secret. A literal value is in the repo
// anyway.
func references(values ...spec.Value) []string {
	var list []string
	for _, v := range values {
		if cmp.Or(v.Source, spec.Literal) != spec.Literal {
			list = append(list, reference(v))
		}
	}
	return list
}
