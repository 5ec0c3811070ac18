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

// How a block comes to be in a change.
const (
	ChangeAdded    = "added"
	ChangeRemoved  = "removed"
	ChangeChanged  = "changed"
	ChangeMoved    = "moved"    // a moved block gives it another name
	ChangeAffected = "affected" // the block is as it was; another's change reaches it
)

// ChangeSet is what a change of the config repo does: the difference between
// the plan without it and the plan with it.
//
//	base spec ── Plan ──┐
//	                    ├── same observed state, same time ── difference
//	head spec ── Plan ──┘
type ChangeSet struct {
	Blocks       []BlockChange       // issuer blocks, then dns blocks, by name
	Certificates []CertificateChange // by name
	Planned      []plan.Action       // all that is planned with the change
	Anyway       []plan.Action       // of these, what is due without the change too
}

// BlockChange is an issuer or dns block that is another one now.
type BlockChange struct {
	Type     string // "issuer" or "dns"
	Name     string
	Change   string
	Settings []Setting
	// Credentials are the references that the block hands to what it names.
	Credentials  []string
	Certificates int // that use it with the change, or used it before it was removed
	At           hcl.Range
}

// CertificateChange is one certificate that the change is about, or reaches.
type CertificateChange struct {
	Name          string
	Change        string
	Settings      []Setting
	Old, New      *spec.Certificate // nil: not there
	Before, After *plan.Action      // in the plan without and with the change; nil: none
}

// Empty tells that the change does nothing.
func (s *ChangeSet) Empty() bool { return len(s.Blocks)+len(s.Certificates) == 0 }

// Actions are those that are there because of the change.
func (s *ChangeSet) Actions() []plan.Action {
	var list []plan.Action
	for _, c := range s.Certificates {
		if c.After != nil {
			list = append(list, *c.After)
		}
	}
	return list
}

// ChangeOf compares two revisions of the spec over one observed state, which
// has to have been looked at for both (see Union). It is a pure function.
func ChangeOf(base, head *spec.Spec, observed *plan.Observed, now time.Time) *ChangeSet {
	s := &ChangeSet{Blocks: BlockChanges(base, head)}
	before := plan.ByName(plan.Plan(base, asBase(observed, s.Blocks), now))
	s.Planned = plan.Plan(head, observed, now)
	after := plan.ByName(s.Planned)
	was, gone := plan.MovedIn(base, head, after)
	for _, name := range certificateNames(base, head, before, after) {
		if gone[name] {
			continue // the name that it goes on under shows it
		}
		c := compare(name, base.Certificate(name), head.Certificate(name), before[name], after[name])
		if old := was[name]; old != nil {
			c = compare(name, old, head.Certificate(name), before[old.Name], after[name])
			c.Change = ChangeMoved
		}
		switch {
		case c.Change != "":
			s.Certificates = append(s.Certificates, c)
		case c.After != nil && c.After.Kind != ledger.KindNone:
			s.Anyway = append(s.Anyway, *c.After)
		}
	}
	return s
}

// asBase is what is seen without the versions of credentials that belong to
// accounts of the head alone.
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

// compare says what the change does to one certificate; nothing where its
// Change is "".
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
	case !SameAction(before, after):
		c.Change = ChangeAffected
	}
	return c
}

// SameAction tells whether two plans do the same with a certificate.
func SameAction(a, b *plan.Action) bool {
	if a == nil || b == nil {
		return a == b
	}
	same := a.Kind == b.Kind && a.Reason == b.Reason && a.Wants == b.Wants && slices.Equal(a.Changes, b.Changes)
	if a.Kind == ledger.KindHold {
		same = same && a.NotBefore.Equal(b.NotBefore)
	}
	return same
}

// BlockChanges compares the issuer and dns blocks, which say where credentials
// are sent.
func BlockChanges(base, head *spec.Spec) []BlockChange {
	usesIssuer := func(c *spec.Certificate, name string) bool {
		return c.Issuer == name || slices.Contains(c.Fallbacks, name)
	}
	issuers := blocks[spec.Issuer]{"issuer", issuerSettings, IssuerCredentials, func(i *spec.Issuer) hcl.Range { return i.Range }, usesIssuer}
	usesAccount := func(c *spec.Certificate, name string) bool { return slices.Contains(c.DNS, name) }
	accounts := blocks[spec.DNSAccount]{"dns", accountSettings, accountCredentials, func(a *spec.DNSAccount) hcl.Range { return a.Range }, usesAccount}
	return slices.Concat(issuers.compare(base.Issuers, head.Issuers, base, head), accounts.compare(base.DNS, head.DNS, base, head))
}

// blocks knows what a type of blocks is compared by.
type blocks[T any] struct {
	kind        string
	settings    func(*T) settings
	credentials func(*T) []string
	at          func(*T) hcl.Range
	uses        func(*spec.Certificate, string) bool
}

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
		} else {
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

func allNames[T any](a, b map[string]T) []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(names)
	return slices.Compact(names)
}

// IssuerCredentials and accountCredentials are the references of a block:
// what it would hand to whom it names.
func IssuerCredentials(i *spec.Issuer) []string {
	if i.EAB == nil {
		return nil
	}
	return references(i.EAB.KeyID, i.EAB.HMAC)
}

func accountCredentials(a *spec.DNSAccount) []string {
	values := make([]spec.Value, 0, len(a.Credentials))
	for _, name := range slices.Sorted(maps.Keys(a.Credentials)) {
		values = append(values, a.Credentials[name])
	}
	return references(values...)
}

func references(values ...spec.Value) []string {
	var list []string
	for _, v := range values {
		if cmp.Or(v.Source, spec.Literal) != spec.Literal {
			list = append(list, reference(v))
		}
	}
	return list
}
