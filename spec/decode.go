package spec

import (
	"context"

	"github.com/hashicorp/hcl/v2"
)

// Decode turns the files of one revision into a Spec. It finds every mistake
// at once; where there is an error the Spec is nil. Warnings may come with it.
//
// What it may cost is bounded in steps, by the size of the files. It ends soon
// after ctx does, by an error diagnostic that says so; parsing one file, of at
// most MaxFileSize, is the longest that it does without a look at ctx.
func Decode(ctx context.Context, files []File, trust Trust) (*Spec, hcl.Diagnostics) {
	d := newDecoder(ctx, files, trust)
	for _, step := range []func(){
		func() { d.parse(files) }, d.declare, d.decodePolicies, d.decodeIssuers, d.decodeDNS, d.checkFiles, d.decodeCertificates, d.checkReferences,
	} {
		if step(); d.over() {
			break
		}
	}
	d.settleHolds()
	if d.budget.stopped() && !d.exhausted { // between two evaluations
		d.exhausted = true
		d.late(nil, nil)
	}
	if !trust.Known {
		d.report(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "References not checked",
			Detail: "There is no certroll.hcl at hand, so whether vault(), env(), httpreq, webroots, servers and endpoints stay within what the reconciler allows was not checked. Pass it with --config."})
	}
	d.sort()
	if d.diags.HasErrors() {
		return nil, d.diags
	}
	for _, p := range d.policies {
		d.spec.PolicyFiles = append(d.spec.PolicyFiles, p.files)
	}
	found := d.spec // a pointer into the decoder would keep the syntax trees of all files
	return &found, d.diags
}

// parse reads the syntax of all files.
func (d *decoder) parse(files []File) {
	total := 0
	for _, f := range files {
		total += len(f.Bytes)
	}
	if len(files) > MaxFiles || total > MaxTotalSize {
		d.broken = true
		d.fault(nil, nil, "Config repo too large", "There are %d files of %d bytes; at most %d files and %d bytes are read.", len(files), total, MaxFiles, MaxTotalSize)
		return
	}
	for _, f := range d.trust.Files {
		d.parseFile(f, true)
	}
	for _, f := range files {
		if d.over() {
			return
		}
		d.parseFile(f, false)
	}
	d.oldFirst()
}

func (d *decoder) parseFile(f File, trusted bool) {
	body, diags := Parse(f)
	d.report(diags...)
	if body == nil {
		d.broken = true
		return
	}
	d.sources[f.Path] = f.Bytes
	d.files = append(d.files, parsed{path: f.Path, body: body, trusted: trusted})
}
