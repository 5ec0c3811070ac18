package reconcile

import (
	"fmt"
	"time"
)

// Gone says that somebody else deleted what is live in Vault, and that nothing is
// there instead yet: whoever reads the secret gets nothing.
type Gone struct {
	At        time.Time `json:"at"`            // when it was deleted, else when that was seen
	Version   int       `json:"vault_version"` // that was current; 0: no version is left
	Destroyed bool      `json:"destroyed"`     // its data is gone for good
}

// destructions is a MetadataReader that remembers of the secrets that it was asked for
// last whether the data of their current versions was destroyed.
type destructions interface {
	Destroyed(mount, path string) bool
}

// isGone tells that what certroll has written at that place by its record cannot be
// read there any more.
func (a *Action) isGone() bool {
	r := a.Record
	return a.Spec != nil && a.AtWork == nil && r.holds() && a.At == Location{r.Live.Mount, r.Live.Path} &&
		a.Reason != ReasonUnreadable && !a.Secret.Readable
}

// gone is that, as it is seen now; nil where it is not so. What is known of the same
// version stands.
func (a *Action) gone(now time.Time) *Gone {
	if !a.isGone() {
		return nil
	}
	s := a.Secret
	if g := a.Record.Gone; g != nil && g.Version == s.Version && g.Destroyed == (s.Destroyed || s.Version == 0) {
		return g
	}
	g := &Gone{At: s.DeletedAt, Version: s.Version, Destroyed: s.Destroyed || s.Version == 0}
	if g.At.IsZero() || g.At.After(now) {
		g.At = now
	}
	g.At = g.At.UTC().Truncate(time.Second)
	return g
}

// text says what is gone, and how it comes back without the CA.
func (g *Gone) text(at Location) string {
	switch {
	case g.Version == 0:
		return fmt.Sprintf("%s was deleted with all its versions (noticed %s), and readers get nothing; no command brings it back, so it has to be issued again", at, stampOf(g.At))
	case g.Destroyed:
		return fmt.Sprintf("version %d of %s was destroyed (noticed %s), and readers get nothing; no command brings it back, so it has to be issued again", g.Version, at, stampOf(g.At))
	default: // the command stands where a table does not cut it off
		return fmt.Sprintf("%s was deleted (%s brings it back without the CA): version %d, %s; readers get nothing", at, undelete(at, g.Version), g.Version, stampOf(g.At))
	}
}

// undelete is the command that brings back a version that was deleted.
func undelete(at Location, version int) string {
	return fmt.Sprintf("vault kv undelete -mount=%s -versions=%d %s", at.Mount, version, at.Path)
}

// GoneText says of a record what of it is gone; "" where nothing is.
func (r *Record) GoneText() string {
	if r.Gone == nil || !r.holds() {
		return ""
	}
	return r.Gone.text(Location{r.Live.Mount, r.Live.Path})
}

// noteGone tells of each secret that somebody has deleted, once: an event that wakes a
// person, and a record that says so until it is there again. What the brake holds is
// one event of its own; what is left alone while renewal.auto is off is told as that.
func (r *Reconciler) noteGone(actions []Action, rev Revision, now time.Time) error {
	for i := range actions {
		a := &actions[i]
		g := a.gone(now)
		if g == nil || g == a.Record.Gone || a.Reason == ReasonMass || a.Reason == ReasonLeftAlone || a.Record.ForeignVersion != nil {
			continue
		}
		record := *a.Record
		record.Gone, record.UpdatedAt = g, record.next(now)
		record.comesFrom(a.former, now)
		e := Event{
			Schema: EventSchema, Time: now.UTC().Truncate(time.Millisecond), Operation: KindNote, Certificate: a.Certificate,
			Status: Failed, Severity: SeverityPage, Reason: ReasonDeleted, Class: ClassVault, Actor: "unknown", Cause: "drift", Revision: rev.Commit,
			OldSerial: record.Live.Serial, Issuer: record.Live.Issuer, VaultPath: a.At.String(), VaultVer: g.Version, Message: g.text(a.At),
		}
		e.ID = eventID("gone", e.Certificate, record.Live.Serial, fmt.Sprint(record.Live.Version, g.Version, g.Destroyed), g.At.Format(time.DateOnly))
		if err := r.scribe.note(entry{Event: e, Record: &record}); err != nil {
			return err
		}
	}
	return nil
}
