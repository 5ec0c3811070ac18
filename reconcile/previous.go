package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"certroll/spec"
)

// LeftBehind is a secret that the certificate was read from before vault.path moved. It
// is not renewed, and stays until somebody deletes it.
type LeftBehind struct {
	Mount   string    `json:"vault_mount"`
	Path    string    `json:"vault_path"`
	Version int       `json:"vault_version"` // that certroll wrote there last
	Since   time.Time `json:"since"`
}

func (l LeftBehind) at() Location { return Location{l.Mount, l.Path} }

// text says what is left behind, and what to do about it.
func (l LeftBehind) text(now Location) string {
	return fmt.Sprintf("%s stays at version %d and is no longer renewed (vault.path moved %s): read %s, then delete it (vault kv metadata delete -mount=%s %s)",
		l.at(), l.Version, l.Since.UTC().Format(time.DateOnly), now, l.Mount, l.Path)
}

// LeftText says of each secret that was left behind what is to be done; none: nothing.
func (r *Record) LeftText() []string {
	if !r.holds() {
		return nil
	}
	lines := make([]string, len(r.LeftBehind))
	for i, l := range r.LeftBehind {
		lines[i] = l.text(Location{r.Live.Mount, r.Live.Path})
	}
	return lines
}

// movedFrom are the secrets that are left behind once what is live now is: those that the
// record has, and the one that was live before where that was elsewhere.
func (a *attempt) movedFrom(now time.Time) []LeftBehind {
	r := a.action.Record
	if r == nil || a.live == nil {
		return nil
	}
	here := Location{a.live.Mount, a.live.Path}
	var left []LeftBehind
	for _, l := range r.LeftBehind {
		if l.at() != here {
			left = append(left, l)
		}
	}
	if was := r.Live; r.holds() && was.Path != "" && here != (Location{was.Mount, was.Path}) {
		left = append(left, LeftBehind{was.Mount, was.Path, was.Version, now.UTC().Truncate(time.Second)})
	}
	return left
}

// tidyPrevious looks at what is left behind, and deletes it where vault.previous says so:
// the new secret is written and described by then. What carries the mark of another
// certificate is that one's. What goes wrong here fails nothing, and is tried again.
func (a *attempt) tidyPrevious(ctx context.Context) error {
	a.left = nil
	for _, l := range a.movedFrom(a.now()) {
		keep, err := a.tidy(ctx, l)
		if err != nil {
			a.untidied = append(a.untidied, fmt.Sprintf("%s: %s", l.at(), firstLine(message(err))))
		}
		if keep {
			a.left = append(a.left, l)
		}
	}
	a.tidied = true
	return nil
}

func (a *attempt) tidy(ctx context.Context, l LeftBehind) (keep bool, err error) {
	seen, err := a.observer.Secret(ctx, l.at())
	switch {
	case err != nil:
		return true, err
	case !seen.Readable || seen.Owner != a.action.Certificate:
		return false, nil
	case a.action.Spec.Vault.Previous != spec.Delete, a.isClaimed(l.at()):
		return true, nil
	}
	a.report("write", "deleting "+l.at().String()+", which the certificate moved away from")
	if err := a.secrets.Delete(ctx, l.Mount, l.Path); err != nil {
		return true, err
	}
	a.deleted = append(a.deleted, l.at().String())
	return false, nil
}

// isClaimed tells whether a certificate of the spec is to be at a place: what is there is
// that one's to take over.
func (a *attempt) isClaimed(at Location) bool {
	return slices.ContainsFunc(a.desired.Certificates, func(c *spec.Certificate) bool { return targetOf(c) == at })
}

// tellPrevious says in the event what became of the secret that was read before.
func (a *attempt) tellPrevious(e *Event) {
	if !a.tidied {
		return
	}
	here := Location{a.live.Mount, a.live.Path}
	known := map[Location]bool{}
	if r := a.action.Record; r != nil {
		for _, l := range r.LeftBehind {
			known[l.at()] = true
		}
	}
	for _, l := range a.left {
		switch {
		case !known[l.at()]:
			e.LeftBehind = l.at().String()
			e.Detail += "; moved: " + l.text(here)
		case a.revoked != "":
			e.Detail += "; " + l.at().String() + ", left behind, may still hold what was revoked: delete it"
		}
	}
	if len(a.deleted) > 0 {
		e.Detail += "; deleted after the move to " + here.String() + ": " + strings.Join(a.deleted, ", ") + " (vault kv undelete brings it back)"
	}
	if len(a.untidied) > 0 {
		e.Detail += "; leftover secrets could not be read or deleted; certroll retries: " + strings.Join(a.untidied, "; ")
	}
}

// leftChanged says why a record is to be made anew for what was left behind; "" where it
// is not.
func (s *situation) leftChanged() string {
	switch {
	case s.leftGone:
		return "a secret that it had left behind is gone"
	case s.leftThere && s.spec.Vault.Previous == spec.Delete:
		return "vault.previous is \"delete\", and a secret that it left behind is there"
	default:
		return ""
	}
}

// seeLeft looks for what the record says was left behind.
func (s *situation) seeLeft(obs *Observed) {
	if !s.record.holds() {
		return
	}
	for _, l := range s.record.LeftBehind {
		seen, ok := obs.Secrets[l.at()]
		there := seen.Readable && seen.Owner == s.spec.Name
		s.leftGone = s.leftGone || ok && !there
		s.leftThere = s.leftThere || ok && there
	}
}
