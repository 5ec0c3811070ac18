package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// heldFile holds what the brake holds, and what of it a person has accepted. It
// changes only when either comes.
const heldFile = "held.json"

const (
	// heldSchema is the version of its JSON shape.
	heldSchema = 1
	// mostHeldSets bounds what is kept of accepted ones.
	mostHeldSets = 20
)

// heldSets is that file.
type heldSets struct {
	Schema int       `json:"schema"`
	Sets   []HeldSet `json:"sets"` // the last one that is held, and those accepted of late
}

// HeldSet is what the brake holds as one.
type HeldSet struct {
	ID       string    `json:"id"` // derived from the certificates and causes
	Since    time.Time `json:"since"`
	Revision string    `json:"revision"` // of the config repo
	Live     int       `json:"live"`     // of so many that are live, or were a day ago
	Done     int       `json:"done"`     // so many were changed within the day before
	// AcceptedAt is when a person accepted it; null: nobody has.
	AcceptedAt   *time.Time        `json:"accepted_at"`
	AcceptedBy   string            `json:"accepted_by"`
	Certificates []HeldCertificate `json:"certificates"` // by name
}

// HeldCertificate is one of a held set.
type HeldCertificate struct {
	Certificate string `json:"certificate"`
	What        Kind   `json:"what"`  // retire, issue, reissue or move
	Cause       string `json:"cause"` // a digest of what is live and of what would be done about it
}

// readHeldSets reads the held sets of a ledger's tree: none where the file cannot be
// read, which lost names.
func readHeldSets(tree fs.FS) (sets []HeldSet, lost []Breach, err error) {
	b, err := fs.ReadFile(tree, heldFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, nil
	case errors.Is(err, fs.ErrInvalid):
		return nil, lose(nil, heldFile, 0, err.Error()), nil
	case err != nil && isDirectory(tree, heldFile):
		return nil, lose(nil, heldFile, 0, "it is a directory"), nil
	case err != nil:
		return nil, nil, fmt.Errorf("reading the ledger's %s: %w", heldFile, err)
	}
	var f heldSets
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, lose(nil, heldFile, 0, err.Error()), nil
	}
	if f.Schema < 1 || f.Schema > heldSchema {
		return nil, lose(nil, heldFile, 0, fmt.Sprintf("it has schema %d, this certroll reads 1 to %d: "+newerSchema, f.Schema, heldSchema)), nil
	}
	return f.Sets, nil, nil
}

func isDirectory(tree fs.FS, name string) bool {
	info, err := fs.Stat(tree, name)
	return err == nil && info.IsDir()
}

// ReadHeld is what the brake holds by the ledger's word; nil where it holds nothing.
func ReadHeld(tree fs.FS) (*HeldSet, error) {
	sets, _, err := readHeldSets(tree)
	i := slices.IndexFunc(sets, func(s HeldSet) bool { return s.AcceptedAt == nil })
	if err != nil || i < 0 {
		return nil, err
	}
	return &sets[i], nil
}

// editHeld is the edit that brings the file to what the entries say; nil where
// they say nothing new.
func editHeld(tree fs.FS, entries []entry, now time.Time) ([]byte, error) {
	sets, _, err := readHeldSets(tree)
	if err != nil {
		return nil, err
	}
	changed := false
	for _, e := range entries {
		if e.Held != nil && !slices.ContainsFunc(sets, func(s HeldSet) bool { return s.ID == e.Held.ID && s.AcceptedAt == nil }) {
			sets, changed = withHeld(sets, *e.Held, now), true
		}
	}
	if !changed {
		return nil, nil
	}
	return marshalHeld(sets)
}

// withHeld adds a set in the place of the one that was held, and drops consents
// that are over.
func withHeld(sets []HeldSet, one HeldSet, now time.Time) []HeldSet {
	sets = slices.DeleteFunc(slices.Clone(sets), func(s HeldSet) bool {
		return s.AcceptedAt == nil || now.Sub(*s.AcceptedAt) > moveConsentLasts || s.ID == one.ID && one.AcceptedAt != nil
	})
	if one.ID != "" {
		sets = append(sets, one)
	}
	return sets[max(0, len(sets)-mostHeldSets):]
}

func marshalHeld(sets []HeldSet) ([]byte, error) {
	b, err := plainJSON(heldSets{heldSchema, sets}, "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", heldFile, err)
	}
	return append(b, '\n'), nil
}

// noteMass tells of what the brake holds, as noteHeld does, with the set itself.
func (r *Recorder) noteMass(actions []Action, rev Revision, now time.Time) error {
	events := massEvents(actions, rev, now)
	if len(events) == 0 {
		return r.noteMassOver(now)
	}
	if r.isHeld(events[0].ID) {
		return r.noteHeld(events) // remembers that it still is
	}
	set := *MassHold(actions)
	set.Revision = rev.Commit
	if err := r.scribe.note(entry{Event: events[0], Held: &set}); err != nil {
		return err
	}
	r.setHeld(events[0].ID)
	return nil
}

// noteMassOver tells that what the ledger says is held is held no more, without a
// person's consent: the revision was reverted, or Vault restored.
func (r *Recorder) noteMassOver(now time.Time) error {
	tree, _ := r.scribe.seen()
	if tree == nil {
		return nil
	}
	set, err := ReadHeld(tree)
	if err != nil || set == nil || r.isHeld(set.overID()) {
		return err
	}
	e := heldEvent(now, subjectOfSet(set), ReasonMass, "it is no more held, and nothing of it was done: what would have changed is as it was, or is less than waits for a person", "", "")
	e.ID, e.Status = set.overID(), Success
	e.concerns(set.names())
	if err := r.scribe.note(entry{Event: e, Held: &HeldSet{}}); err != nil {
		return err
	}
	r.heldMu.Lock()
	defer r.heldMu.Unlock()
	delete(r.held, massEvents([]Action{{mass: set}}, Revision{}, now)[0].ID) // it is told again where it comes back
	r.held[e.ID] = now
	return nil
}

// overID is the id of the event that ends the hold. The same set may be held again.
func (set *HeldSet) overID() string { return eventID("mass over", set.ID, stampOf(set.Since)) }

func (r *Recorder) setHeld(id string) {
	r.heldMu.Lock()
	defer r.heldMu.Unlock()
	r.held[id] = r.now()
}

// AcceptHeld writes a person's consent to what the brake holds into the ledger: of
// the set with that id there, or of known, which a plan that the person saw has. It
// goes straight there, as Accept does.
func (r *Recorder) AcceptHeld(ctx context.Context, id string, known *HeldSet, actor, how string) (accepted *HeldSet, err error) {
	tree, _, _, err := r.scribe.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	if _, _, err := findHeld(tree, id, known); err != nil {
		return nil, err
	}
	now := r.now().UTC()
	told := []entry{{Event: Event{
		Schema: EventSchema, ID: eventID("accepted", id, actor, now.Format(time.RFC3339Nano)), Time: now.Truncate(time.Millisecond),
		Operation: KindConfig, Status: Success, Reason: ReasonAccepted, Actor: firstOf(actor, "unknown"), Cause: "command",
	}}}
	_, err = r.scribe.ledger.Commit(ctx, commitMessage(told), func(tree fs.FS) (map[string][]byte, error) {
		set, sets, err := findHeld(tree, id, known)
		if err != nil {
			return nil, err
		}
		accepted = set
		set.AcceptedAt, set.AcceptedBy = optional(now.Truncate(time.Second)), firstOf(actor, "unknown")
		e := &told[0].Event
		e.Subject, e.Detail = string(subjectOfSet(set)), "a person accepted "+how+": "+set.Summary()
		e.Certificate, e.Certificates = "", nil
		e.concerns(set.names())
		files, err := r.scribe.edit(tree, told)
		if err != nil {
			return nil, err
		}
		files[heldFile], err = marshalHeld(withHeld(sets, *set, now))
		return files, err
	})
	if err != nil {
		return nil, fmt.Errorf("writing the ledger: %w; nothing was recorded, repeat the command", err)
	}
	return accepted, nil
}

// findHeld is a copy of the set with that id.
func findHeld(tree fs.FS, id string, known *HeldSet) (*HeldSet, []HeldSet, error) {
	sets, _, err := readHeldSets(tree)
	if err != nil {
		return nil, nil, err
	}
	var held string
	for _, s := range slices.Backward(sets) {
		switch {
		case s.AcceptedAt == nil && s.ID == id:
			return &s, sets, nil
		case s.AcceptedAt == nil:
			held = s.ID + " is: " + s.Summary()
		case s.ID == id && known == nil:
			return nil, nil, fmt.Errorf("accepting %s: %s accepted it at %s; consent is used up once", id, s.AcceptedBy, stampOf(*s.AcceptedAt))
		}
	}
	if known != nil {
		set := *known
		return &set, sets, nil
	}
	if held == "" {
		return nil, nil, fmt.Errorf("accepting %s: no hold has this id; certroll plan shows the holds with their ids", id)
	}
	return nil, nil, fmt.Errorf("accepting %s: that is not what is held now; %s", id, held)
}
