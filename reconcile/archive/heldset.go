package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

// ReadHeldSets reads the held sets of a ledger's tree. If the file is unreadable it returns
// no sets, and lost describes the damage.
func ReadHeldSets(tree fs.FS) (sets []ledger.HeldSet, lost []Breach, err error) {
	b, err := fs.ReadFile(tree, ledger.HeldFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, nil
	case errors.Is(err, fs.ErrInvalid):
		return nil, Lose(nil, ledger.HeldFile, 0, err.Error()), nil
	case err != nil && isDirectory(tree, ledger.HeldFile):
		return nil, Lose(nil, ledger.HeldFile, 0, "it is a directory"), nil
	case err != nil:
		return nil, nil, fmt.Errorf("reading the ledger's %s: %w", ledger.HeldFile, err)
	}
	var f ledger.HeldSets
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, Lose(nil, ledger.HeldFile, 0, err.Error()), nil
	}
	if f.Schema < 1 || f.Schema > ledger.HeldSchema {
		return nil, Lose(nil, ledger.HeldFile, 0, fmt.Sprintf("it has schema %d, this certroll reads 1 to %d: "+ledger.NewerSchema, f.Schema, ledger.HeldSchema)), nil
	}
	return f.Sets, nil, nil
}

func isDirectory(tree fs.FS, name string) bool {
	info, err := fs.Stat(tree, name)
	return err == nil && info.IsDir()
}

// ReadHeld returns the set that the brake holds according to the ledger; nil if there is
// none.
func ReadHeld(tree fs.FS) (*ledger.HeldSet, error) {
	sets, _, err := ReadHeldSets(tree)
	i := slices.IndexFunc(sets, func(s ledger.HeldSet) bool { return s.AcceptedAt == nil })
	if err != nil || i < 0 {
		return nil, err
	}
	return &sets[i], nil
}

// EditHeld returns the new content of HeldFile after the entries; nil if they change
// nothing.
func EditHeld(tree fs.FS, entries []ledger.Entry, now time.Time) ([]byte, error) {
	sets, _, err := ReadHeldSets(tree)
	if err != nil {
		return nil, err
	}
	changed := false
	for _, e := range entries {
		if e.Held != nil && !slices.ContainsFunc(sets, func(s ledger.HeldSet) bool { return s.ID == e.Held.ID && s.AcceptedAt == nil }) {
			sets, changed = WithHeld(sets, *e.Held, now), true
		}
	}
	if !changed {
		return nil, nil
	}
	return MarshalHeld(sets)
}

// WithHeld replaces the held set by one and drops expired consents. It keeps the newest
// MostHeldSets sets.
func WithHeld(sets []ledger.HeldSet, one ledger.HeldSet, now time.Time) []ledger.HeldSet {
	// At most one set is held at a time, and MoveConsentLasts is the longest consent.
	sets = slices.DeleteFunc(slices.Clone(sets), func(s ledger.HeldSet) bool {
		return s.AcceptedAt == nil || now.Sub(*s.AcceptedAt) > ledger.MoveConsentLasts || s.ID == one.ID && one.AcceptedAt != nil
	})
	if one.ID != "" {
		sets = append(sets, one)
	}
	return sets[max(0, len(sets)-ledger.MostHeldSets):]
}

// MarshalHeld encodes HeldFile.
func MarshalHeld(sets []ledger.HeldSet) ([]byte, error) {
	b, err := ledger.PlainJSON(ledger.HeldSets{Schema: ledger.HeldSchema, Sets: sets}, "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", ledger.HeldFile, err)
	}
	return append(b, '\n'), nil
}

// FindHeld returns the held set with an id and all sets of the ledger. known is a set that
// the caller already has, and is returned if the ledger does not hold it; nil for none.
func FindHeld(tree fs.FS, id string, known *ledger.HeldSet) (*ledger.HeldSet, []ledger.HeldSet, error) {
	sets, _, err := ReadHeldSets(tree)
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
			return nil, nil, fmt.Errorf("accepting %s: %s accepted it at %s; consent is used up once", id, s.AcceptedBy, text.Stamp(*s.AcceptedAt))
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
