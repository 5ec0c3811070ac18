package importing

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/spec"
)

// Secrets is the part of Vault that an import needs.
type Secrets interface {
	observe.MetadataReader
	// Read returns fs.ErrNotExist if there is no secret.
	Read(ctx context.Context, mount, path string) (data map[string]string, version int, err error)
	// Write fails if the current version is not cas.
	Write(ctx context.Context, mount, path string, data map[string]string, cas int) (version int, err error)
}

// Outcome is the result for a certificate.
type Outcome string

// The outcomes.
const (
	Taken Outcome = "taken" // its pair is now in Vault, and its block in the HCL
	There Outcome = "there" // its pair was already in Vault and is unchanged
	Left  Outcome = "left"  // it could not be imported
)

// Result is one certificate with its outcome.
type Result struct {
	*Found
	Outcome Outcome
	Why     string // for Left and There
	Block   string // the name of its block; "" without one

	managed bool // certroll already manages it: its block is in the config repo
	missing bool // there is no secret at its path yet
}

// Report is the result of an import.
type Report struct {
	Results []Result
	Notes   []string
	HCL     []byte // nil if there is nothing to write
	// Needs are the rules that keep the HCL out of the config repo until certroll.hcl
	// allows them, or a person changes the HCL.
	Needs []spec.ConcernedHold
}

// Take writes the found pairs to Vault unless they are already there, and makes HCL with
// which the next apply adopts them. With dry set it writes nothing to Vault. An error
// concerns the whole import; problems of single certificates are in their results.
func Take(ctx context.Context, secrets Secrets, found *Findings, o Options, now time.Time, dry bool) (*Report, error) {
	report := &Report{Notes: found.Notes}
	paths := newDocument(o)
	for _, f := range found.Certificates {
		if err := ctx.Err(); err != nil {
			return nil, interrupted(err)
		}
		if !f.There {
			f.At = ledger.Location{Mount: o.Mount, Path: o.Prefix + paths.name("path", blockName(f.Name))}
		}
		report.Results = append(report.Results, o.look(ctx, secrets, f, now))
	}
	// Check that the file decodes before anything is written.
	doc := o.document(report.Results)
	if problems := doc.check(); len(problems) > 0 {
		return nil, fmt.Errorf("writing HCL for %d certificates: it would not decode: %s; nothing was written", len(doc.certs), strings.Join(problems, "; "))
	}
	for i, r := range report.Results {
		if !r.missing || dry {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, interrupted(err)
		}
		if err := r.write(ctx, secrets); err != nil {
			report.Results[i] = left(r.Found, "%v", err)
		}
	}
	if doc = o.document(report.Results); len(doc.certs) > 0 {
		if !o.Trust.Known {
			report.Notes = append(slices.Clone(report.Notes), "there is no certroll.hcl at hand, so whether it allows the addresses in the HCL (trust.endpoints) was not checked; pass it with --config")
		}
		report.HCL, report.Needs = doc.render(), doc.needs()
	}
	return report, nil
}

func interrupted(err error) error {
	return fmt.Errorf("taking over certificates: %w; secrets already written stay in Vault: run the same command again to continue", err)
}

func left(f *Found, format string, args ...any) Result {
	return Result{Found: f, Outcome: Left, Why: fmt.Sprintf(format, args...)}
}

// document makes the file for the certificates without a block, and records the names of
// their blocks.
func (o Options) document(results []Result) *document {
	doc := newDocument(o)
	for i, r := range results {
		results[i].Block = ""
		if r.Outcome != Left && !r.managed {
			doc.add(r.Found)
			results[i].Block = doc.certs[len(doc.certs)-1].name
		}
	}
	return doc
}

// look determines a certificate's outcome without changing anything.
func (o Options) look(ctx context.Context, secrets Secrets, f *Found, now time.Time) Result {
	f.check(now)
	if f.Problem == "" {
		o.admit(f)
	}
	if f.Problem != "" {
		return left(f, "%s", f.Problem)
	}
	current, live, custom, err := secrets.ReadMetadata(ctx, f.At.Mount, f.At.Path)
	switch owner := observe.OwnerOf(custom); {
	case err != nil:
		return left(f, "%v", err)
	case owner != "" && f.There:
		return Result{Found: f, Outcome: There, Why: "it is certroll's already, as certificate " + owner, managed: true}
	case f.There:
		return Result{Found: f, Outcome: Taken}
	case live:
		return o.compare(ctx, secrets, f, owner)
	case current > 0:
		return left(f, "the current version of the secret at %s is deleted; restore it (vault kv undelete), remove the secret for good (vault kv metadata delete), or choose another --prefix", f.At)
	}
	return Result{Found: f, Outcome: Taken, missing: true}
}

// compare checks whether an existing secret contains the same pair.
func (o Options) compare(ctx context.Context, secrets Secrets, f *Found, owner string) Result {
	data, _, err := secrets.Read(ctx, f.At.Mount, f.At.Path)
	if err != nil {
		return left(f, "%v", err)
	}
	chain, _, err := keypair.FindPair(data)
	same := err == nil && bytes.Equal(chain[0].Raw, f.leaf().Raw)
	switch {
	case same && owner != "":
		return Result{Found: f, Outcome: There, Why: "the same pair is at " + f.At.String() + " already, as certroll's certificate " + owner, managed: true}
	case owner != "":
		return left(f, "certroll's certificate %s, which is another one, is at %s; nothing was overwritten", owner, f.At)
	case !same:
		return left(f, "there is another secret at %s; nothing was overwritten: choose another --prefix", f.At)
	}
	if f.matchFields(data); f.Problem == "" {
		o.admit(f)
	}
	if f.Problem != "" {
		return left(f, "%s", f.Problem)
	}
	return Result{Found: f, Outcome: There, Why: "the same pair is at " + f.At.String() + " already"}
}

// write writes the pair to an unused path.
func (f *Found) write(ctx context.Context, secrets Secrets) error {
	material, err := keypair.MaterialOf(f.Chain, f.Key.Signer)
	if err != nil {
		return err
	}
	data, err := spec.Fields{}.Render(material, nil)
	if err != nil {
		return err
	}
	_, err = secrets.Write(ctx, f.At.Mount, f.At.Path, data, 0)
	return err
}
