package importing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"certroll/reconcile"
	"certroll/spec"
)

// Secrets is as much of Vault as taking over needs.
type Secrets interface {
	reconcile.MetadataReader
	// Read returns fs.ErrNotExist where there is nothing.
	Read(ctx context.Context, mount, path string) (data map[string]string, version int, err error)
	// Write fails where the current version is not cas.
	Write(ctx context.Context, mount, path string, data map[string]string, cas int) (version int, err error)
}

// Outcome is what became of a certificate.
type Outcome string

// The outcomes.
const (
	Taken Outcome = "taken" // its pair is in Vault now, and its block in the HCL
	There Outcome = "there" // its pair was there already, and was left alone
	Left  Outcome = "left"  // it could not be taken over
)

// Result is one certificate with what became of it.
type Result struct {
	*Found
	Outcome Outcome
	Why     string // of Left and There
	Block   string // the name of its block; "" where it has none
}

// Report is what a run did.
type Report struct {
	Results []Result
	Notes   []string
	HCL     []byte // nil where there is nothing to write
}

// Take puts what was found into Vault, where it is not there already, and
// writes HCL by which the next apply adopts it. With dry set nothing is written
// to Vault. An error means that nothing can be said; what is wrong with one
// certificate is its result.
func Take(ctx context.Context, secrets Secrets, found *Findings, o Options, now time.Time, dry bool) (*Report, error) {
	report := &Report{Notes: found.Notes}
	doc, paths := newDocument(o), newDocument(o)
	for _, f := range found.Certificates {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("taking over certificates: %w; what is in Vault stays, and the same command goes on from there", err)
		}
		if !f.There {
			f.At = reconcile.Location{Mount: o.Mount, Path: o.Prefix + paths.name("path", blockName(f.Name))}
		}
		r := o.take(ctx, secrets, f, now, dry)
		if r.Outcome != Left && r.Block == "" {
			doc.add(f)
			r.Block = doc.certs[len(doc.certs)-1].name
		}
		if r.Block == noBlock {
			r.Block = ""
		}
		report.Results = append(report.Results, r)
	}
	if len(doc.certs) == 0 {
		return report, nil
	}
	if problems := doc.check(); len(problems) > 0 {
		return nil, fmt.Errorf("writing HCL for %d certificates: it would not decode: %s; what is in Vault stays as it is", len(doc.certs), strings.Join(problems, "; "))
	}
	report.HCL = doc.render()
	return report, nil
}

// noBlock marks a certificate that has its block in the config repo already.
const noBlock = "-"

// take deals with one certificate.
func (o Options) take(ctx context.Context, secrets Secrets, f *Found, now time.Time, dry bool) Result {
	f.check(now)
	if f.Problem == "" {
		o.admit(f)
	}
	if f.Problem != "" {
		return Result{Found: f, Outcome: Left, Why: f.Problem}
	}
	current, live, custom, err := secrets.ReadMetadata(ctx, f.At.Mount, f.At.Path)
	switch owner := reconcile.OwnerOf(custom); {
	case err != nil:
		return Result{Found: f, Outcome: Left, Why: err.Error()}
	case owner != "" && f.There:
		return Result{Found: f, Outcome: There, Why: "it is certroll's already, as certificate " + owner, Block: noBlock}
	case f.There:
		return Result{Found: f, Outcome: Taken}
	case live:
		return o.compare(ctx, secrets, f, owner)
	case current > 0:
		return Result{Found: f, Outcome: Left, Why: fmt.Sprintf(
			"there was a secret at %s, and its current version is deleted; bring it back (vault kv undelete), remove it for good (vault kv metadata delete), or choose another -prefix", f.At)}
	case dry:
		return Result{Found: f, Outcome: Taken}
	}
	return f.write(ctx, secrets)
}

// compare leaves a secret that is there as it is, and tells whether it holds
// the same pair.
func (o Options) compare(ctx context.Context, secrets Secrets, f *Found, owner string) Result {
	data, _, err := secrets.Read(ctx, f.At.Mount, f.At.Path)
	if err != nil {
		return Result{Found: f, Outcome: Left, Why: err.Error()}
	}
	chain, _, err := reconcile.FindPair(data)
	switch {
	case err == nil && bytes.Equal(chain[0].Raw, f.leaf().Raw) && owner != "":
		return Result{Found: f, Outcome: There, Why: "the same pair is at " + f.At.String() + " already, as certroll's certificate " + owner, Block: noBlock}
	case err == nil && bytes.Equal(chain[0].Raw, f.leaf().Raw):
		if f.matchFields(data); f.Problem == "" {
			o.admit(f)
		}
		if f.Problem != "" {
			return Result{Found: f, Outcome: Left, Why: f.Problem}
		}
		return Result{Found: f, Outcome: There, Why: "the same pair is at " + f.At.String() + " already"}
	case owner != "":
		return Result{Found: f, Outcome: Left, Why: fmt.Sprintf("certroll's certificate %s is at %s, and another than this; nothing was written over it", owner, f.At)}
	default:
		return Result{Found: f, Outcome: Left, Why: fmt.Sprintf("something else is at %s; nothing was written over it: choose another -prefix", f.At)}
	}
}

// write puts the pair where nothing is.
func (f *Found) write(ctx context.Context, secrets Secrets) Result {
	material, err := reconcile.MaterialOf(f.Chain, f.Key.Signer)
	if err != nil {
		return Result{Found: f, Outcome: Left, Why: err.Error()}
	}
	data, err := spec.Fields{}.Render(material, nil)
	if err != nil {
		return Result{Found: f, Outcome: Left, Why: err.Error()}
	}
	if _, err = secrets.Write(ctx, f.At.Mount, f.At.Path, data, 0); err != nil {
		return Result{Found: f, Outcome: Left, Why: err.Error()}
	}
	return Result{Found: f, Outcome: Taken}
}

func notThere(err error) bool { return errors.Is(err, fs.ErrNotExist) }
