package main

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

	"certroll/gitsync"
	"certroll/reconcile"
	"certroll/spec"
	"certroll/spec/bounded"
	"certroll/spec/text"
)

const (
	planFileFormat = "certroll plan"
	planFileSchema = 1
	// planFileAge is how long a plan may wait to be applied.
	planFileAge = 7 * 24 * time.Hour
	// maxPlanFile bounds what is read: 200,000 actions have about 100 MB.
	maxPlanFile = 256 << 20
)

// planFile is what `plan --out` writes and `apply FILE` reads. It holds nothing
// secret, and is believed in nothing: it only picks from what a new plan says.
type planFile struct {
	Format   string                  `json:"format"`
	Schema   int                     `json:"schema"`
	Version  string                  `json:"certroll"` // that wrote it
	Time     time.Time               `json:"time"`
	Revision string                  `json:"revision"` // "" for a plain directory outside Git
	Files    map[string]string       `json:"files"`    // SHA-256 by path
	Vault    string                  `json:"vault"`    // "" where it was not asked
	Actions  []reconcile.SavedAction `json:"actions"`
}

// freshPlan is a plan that was made now: a file keeps it, or is held against it.
type freshPlan struct {
	desired  *spec.Spec
	revision *gitsync.Revision
	observed *reconcile.Observed
	now      time.Time // that it was made for
	actions  []reconcile.Action
	vault    string          // tells one Vault from another; "": none was asked
	only     map[string]bool // the certificates that a change is about; nil: all
}

// newPlanFile keeps a plan; of one that compares two revisions, what the
// change does.
func newPlanFile(p freshPlan, version string, at time.Time) planFile {
	f := planFile{
		Format: planFileFormat, Schema: planFileSchema, Version: version, Time: at, Revision: p.revision.Commit,
		Files: digests(p.revision.Files), Vault: p.vault, Actions: reconcile.Save(p.desired, p.actions),
	}
	if p.only != nil {
		f.Actions = slices.DeleteFunc(f.Actions, func(a reconcile.SavedAction) bool { return !p.only[a.Certificate] })
	}
	return f
}

func digests(files []gitsync.File) map[string]string {
	d := make(map[string]string, len(files))
	for _, f := range files {
		sum := sha256.Sum256(f.Bytes)
		d[f.Path] = hex.EncodeToString(sum[:])
	}
	return d
}

func (f planFile) write(path string) error {
	b, err := json.MarshalIndent(f, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(b, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing the plan to %s: %w", path, err)
	}
	return nil
}

// readPlanFile reads a plan that is to be applied, and refuses what is none.
func readPlanFile(path string, now time.Time) (planFile, error) {
	var f planFile
	refuse := func(format string, args ...any) (planFile, error) {
		return f, fmt.Errorf("reading the plan in %s: %s; make one by certroll plan --out", path, fmt.Sprintf(format, args...))
	}
	b, err := bounded.File(path, maxPlanFile)
	if err != nil {
		return refuse("%s", err)
	}
	// The format is looked at alone first: another schema may have anything.
	var head struct {
		Format string
		Schema int
	}
	if err := json.Unmarshal(b, &head); err != nil || head.Format != planFileFormat {
		return refuse("it is no plan of certroll's")
	}
	if head.Schema != planFileSchema {
		return refuse("it has schema %d, and this certroll reads %d", head.Schema, planFileSchema)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return refuse("%s", err)
	}
	switch age := now.Sub(f.Time); {
	case age > planFileAge:
		return refuse("it was made %s, and is too old: a plan may wait %d days", f.Time.Format(time.RFC3339), planFileAge/(24*time.Hour))
	case age < -time.Hour:
		return refuse("it was made %s, which is still to come: check the clocks", f.Time.Format(time.RFC3339))
	}
	return f, nil
}

// fits refuses a revision that is not the one that was planned.
func (f planFile) fits(rev *gitsync.Revision) error {
	if rev.Commit != f.Revision {
		return fmt.Errorf("the config repo has moved on, and nothing was done: the plan was made for %s, and the head is %s (%s) now; plan again",
			named(f.Revision), named(rev.Commit), rev.Subject)
	}
	if files := otherFiles(f.Files, digests(rev.Files)); len(files) > 0 {
		return fmt.Errorf("the config repo has moved on, and nothing was done: the plan was made with other contents of %s; plan again", strings.Join(files, ", "))
	}
	return nil
}

func named(revision string) string {
	if revision == "" {
		return "a plain directory"
	}
	return "commit " + revision
}

// otherFiles are the files that differ, the first few.
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

// agrees is pick as it will be once what is held is accepted; nothing is changed.
func (f planFile) agrees(then freshPlan, held *reconcile.HeldSet) error {
	now := then.now.UTC()
	set := *held
	set.AcceptedAt = &now
	observed := *then.observed
	observed.Accept(&set)
	then.actions = reconcile.Plan(then.desired, &observed, then.now)
	_, err := f.pick(then)
	return err
}

// pick narrows a fresh plan down to the actions of the file. It fails, with
// what has moved, where one of them is not what was planned any more.
func (f planFile) pick(p freshPlan) ([]reconcile.Action, error) {
	if now := p.vault; f.Vault != "" && f.Vault != now {
		return nil, fmt.Errorf("the plan was made with Vault at %s, and this is %s: nothing was done; plan again", f.Vault, now)
	}
	todo, moved := reconcile.Recall(p.desired, f.Actions, p.actions)
	if len(moved) == 0 {
		return todo, nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the plan of %s no longer fits what is there, and nothing was done:\n", f.Time.Format(time.RFC3339))
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
