package plan

import (
	"fmt"
	"slices"

	"certroll/reconcile/ledger"
	"certroll/spec"
)

// SavedAction is one action in a plan file, with the state that it was planned on. It
// contains no secrets.
type SavedAction struct {
	Certificate string        `json:"certificate"`
	Action      ledger.Kind   `json:"action"`
	Reason      ledger.Reason `json:"reason"`
	Detail      string        `json:"detail"`
	Mount       string        `json:"vault_mount"`
	Path        string        `json:"vault_path"`
	Version     int           `json:"vault_version"` // current version; 0: never written
	Serial      string        `json:"serial"`        // live serial; "": nothing live
	// SpecDigest covers the certificate, its issuers and its DNS accounts, which may also
	// be declared in certroll.hcl.
	SpecDigest string `json:"spec_digest"`
}

// Save returns the actions of a plan that do something.
func Save(desired *spec.Spec, actions []Action) []SavedAction {
	saved := []SavedAction{}
	for _, a := range actions {
		// Applying the file counts as consent to what the brake holds: the person saw it in
		// the plan.
		if a.Reason == ledger.ReasonMass && a.Wants != ledger.KindNone {
			a.Kind = a.Wants
		}
		if a.Kind != ledger.KindNone && a.Kind != ledger.KindHold {
			saved = append(saved, saveOne(desired, a))
		}
	}
	return saved
}

// Consents reports whether a saved plan contains every change that the brake holds, so that
// applying it is consent. A certificate that would only move has no action of its own.
func Consents(saved []SavedAction, set *ledger.HeldSet) bool {
	asked := make(map[string]ledger.Kind, len(saved))
	for _, s := range saved {
		asked[s.Certificate] = s.Action
	}
	return !slices.ContainsFunc(set.Certificates, func(c ledger.HeldCertificate) bool {
		return c.What != ledger.MassMove && asked[c.Certificate] != c.What
	})
}

// Accept adds a person's consent to the observed state. The ledger already has the consent
// by then.
func (o *Observed) Accept(set *ledger.HeldSet) { o.HeldSets = append(slices.Clone(o.HeldSets), *set) }

func saveOne(desired *spec.Spec, a Action) SavedAction {
	s := SavedAction{
		Certificate: a.Certificate, Action: a.Kind, Reason: a.Reason, Detail: a.Detail,
		Mount: a.At.Mount, Path: a.At.Path, Version: a.Secret.Version,
	}
	if a.Secret.Live != nil {
		s.Serial = a.Secret.Live.Serial
	}
	switch {
	case a.Spec != nil:
		s.SpecDigest = SpecDigest(desired, a.Spec)
	case a.Record != nil:
		s.SpecDigest = RetireDigest + " " + string(a.Record.OnRemove)
	}
	return s
}

// Moved is a certificate whose state differs from that in a saved plan.
type Moved struct {
	Certificate  string
	Planned, Now string // the action and the secret's state, then and now
}

// Recall returns the actions of a fresh plan that a saved plan contains, in the order of
// the fresh plan, and the certificates whose state differs from the saved one.
func Recall(desired *spec.Spec, saved []SavedAction, fresh []Action) ([]Action, []Moved) {
	now := ByName(fresh)
	wanted := make(map[string]bool, len(saved))
	var moved []Moved
	for _, s := range saved {
		wanted[s.Certificate] = true
		if m, ok := hasMoved(desired, s, now[s.Certificate]); ok {
			moved = append(moved, m)
		}
	}
	var todo []Action
	for _, a := range fresh {
		if wanted[a.Certificate] {
			todo = append(todo, a)
		}
	}
	return todo, moved
}

// hasMoved compares the state of the secret first, then the action, then the settings
// behind the action.
func hasMoved(desired *spec.Spec, s SavedAction, now *Action) (Moved, bool) {
	at := ledger.Location{Mount: s.Mount, Path: s.Path}
	m := Moved{Certificate: s.Certificate, Planned: fmt.Sprintf("%s, %s", s.Action, standing(at, s.Version, s.Serial))}
	if now == nil {
		m.Now = "neither the spec nor the ledger has it"
		return m, true
	}
	is := saveOne(desired, *now)
	m.Now = fmt.Sprintf("%s, %s", now.Kind, standing(now.At, is.Version, is.Serial))
	switch {
	case is.Version != s.Version || is.Serial != s.Serial || now.At != at:
		return m, true
	case now.Kind != s.Action:
		m.Now += ": " + now.Detail
		return m, true
	case is.SpecDigest != s.SpecDigest:
		m.Now += ", and its issuer or DNS accounts are other ones (see certroll.hcl)"
		return m, true
	}
	return m, false
}

// standing describes a secret's observed version and serial.
func standing(at ledger.Location, version int, serial string) string {
	switch {
	case at.Path == "":
		return "nothing in Vault"
	case version == 0:
		return at.String() + " never written"
	case serial == "":
		return fmt.Sprintf("%s at version %d", at, version)
	default:
		return fmt.Sprintf("%s at version %d, serial %s", at, version, serial)
	}
}
