package planfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"certroll/cmd/certroll/configrepo"
	"certroll/gitsync"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec"
	"certroll/spec/bounded"
	"certroll/spec/text"
)

const (
	format = "certroll plan"
	schema = 1
	// maxAge is how long a plan may wait to be applied.
	maxAge = 7 * 24 * time.Hour
	// maxSize bounds a file, in bytes: 200,000 actions have about 100 MB.
	maxSize = 256 << 20
)

// File is the format of `plan --out` and `apply FILE`. It contains no secrets, and apply
// does not trust it: it only selects from a new plan.
type File struct {
	Format   string             `json:"format"`
	Schema   int                `json:"schema"`
	Version  string             `json:"certroll"` // the version that wrote it
	Time     time.Time          `json:"time"`
	Revision string             `json:"revision"` // "" for a plain directory outside Git
	Files    map[string]string  `json:"files"`    // SHA-256 by path
	Vault    string             `json:"vault"`    // "" if Vault was not read
	Actions  []plan.SavedAction `json:"actions"`
}

// Plan is a fresh plan, to be stored in a file or compared with one.
type Plan struct {
	plan.Plan

	Desired  *spec.Spec
	Revision *gitsync.Revision
	Vault    string          // identifies the Vault; "": not read
	Only     map[string]bool // the certificates of a change; nil: all
}

// New stores a plan. Of a plan that compares two revisions it stores the change's
// actions.
func New(p Plan, version string, at time.Time) File {
	f := File{
		Format: format, Schema: schema, Version: version, Time: at, Revision: p.Revision.Commit,
		Files: Digests(p.Revision.Files), Vault: p.Vault, Actions: plan.Save(p.Desired, p.Actions),
	}
	if p.Only != nil {
		f.Actions = slices.DeleteFunc(f.Actions, func(a plan.SavedAction) bool { return !p.Only[a.Certificate] })
	}
	return f
}

// Digests returns the SHA-256 of files by path.
func Digests(files []gitsync.File) map[string]string {
	d := make(map[string]string, len(files))
	for _, f := range files {
		sum := sha256.Sum256(f.Bytes)
		d[f.Path] = hex.EncodeToString(sum[:])
	}
	return d
}

// Write writes the file.
func (f File) Write(path string) error {
	b, err := json.MarshalIndent(f, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(b, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing the plan to %s: %w", path, err)
	}
	return nil
}

// Read reads a plan for applying, and rejects any other file.
func Read(path string, now time.Time) (File, error) {
	var f File
	refuse := func(format string, args ...any) (File, error) {
		return f, fmt.Errorf("reading the plan in %s: %s; make one by certroll plan --out", path, fmt.Sprintf(format, args...))
	}
	b, err := bounded.File(path, maxSize)
	if err != nil {
		return refuse("%s", err)
	}
	// Check format and schema alone first: the fields of another schema are unknown.
	var head struct {
		Format string
		Schema int
	}
	if err := json.Unmarshal(b, &head); err != nil || head.Format != format {
		return refuse("it is no plan of certroll's")
	}
	if head.Schema != schema {
		return refuse("it has schema %d, and this certroll reads %d", head.Schema, schema)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return refuse("%s", err)
	}
	switch age := now.Sub(f.Time); {
	case age > maxAge:
		return refuse("it was made %s, and is too old: a plan may wait %d days", f.Time.Format(time.RFC3339), maxAge/(24*time.Hour))
	case age < -time.Hour:
		return refuse("it was made %s, which is still to come: check the clocks", f.Time.Format(time.RFC3339))
	}
	return f, nil
}

// Fits rejects a revision other than the planned one.
func (f File) Fits(rev *gitsync.Revision) error {
	if rev.Commit != f.Revision {
		return fmt.Errorf("the config repo has moved on, and nothing was done: the plan was made for %s, and the head is %s (%s) now; plan again",
			configrepo.Named(f.Revision), configrepo.Named(rev.Commit), rev.Subject)
	}
	if files := otherFiles(f.Files, Digests(rev.Files)); len(files) > 0 {
		return fmt.Errorf("the config repo has moved on, and nothing was done: the plan was made with other contents of %s; plan again", strings.Join(files, ", "))
	}
	return nil
}

// otherFiles returns the differing files, at most the first five.
func otherFiles(a, b map[string]string) []string {
	var names []string
	for name, digest := range a {
		if b[name] != digest {
			names = append(names, name)
		}
	}
	for name := range maps.Keys(b) {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) > 5 {
		names = append(names[:5], fmt.Sprintf("%d more", len(names)-5))
	}
	return names
}

// Agrees reports an error if the file would not match the plan once held is accepted. It
// changes nothing.
func (f File) Agrees(then Plan, held *ledger.HeldSet) error {
	now := then.At.UTC()
	set := *held
	set.AcceptedAt = &now
	observed := *then.Observed
	observed.Accept(&set)
	then.Plan = plan.New(then.Desired, &observed, then.At)
	_, err := f.Pick(then)
	return err
}

// Pick reduces a fresh plan to the actions of the file. It fails with the differences if
// one of them is no longer as planned.
func (f File) Pick(p Plan) ([]plan.Action, error) {
	if now := p.Vault; f.Vault != "" && f.Vault != now {
		return nil, fmt.Errorf("the plan was made with Vault at %s, and this is %s: nothing was done; plan again", f.Vault, now)
	}
	todo, moved := plan.Recall(p.Desired, f.Actions, p.Actions)
	if len(moved) == 0 {
		return todo, nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the plan of %s no longer matches the present state, and nothing was done:\n", f.Time.Format(time.RFC3339))
	for i, m := range moved {
		if i == 20 {
			fmt.Fprintf(&b, "  and %d more\n", len(moved)-i)
			break
		}
		fmt.Fprintf(&b, "  %s\n    planned  %s\n    now      %s\n", text.Line(m.Certificate), text.Line(m.Planned), m.Now)
	}
	b.WriteString("Plan again.")
	return nil, fmt.Errorf("%s", b.String())
}
