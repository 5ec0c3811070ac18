package decode

import (
	"context"

	"github.com/hashicorp/hcl/v2"

	"certroll/spec"
)

// Files decodes the files of one revision into a Spec. It reports all mistakes at once.
// If there is an error, the Spec is nil. Warnings may come with a Spec.
//
// The cost is bounded in steps, by the size of the files. Files returns soon after ctx
// ends, with an error diagnostic; parsing one file, of at most MaxFileSize, is the
// longest part that does not check ctx.
func Files(ctx context.Context, files []spec.File, trust spec.Trust) (*spec.Spec, hcl.Diagnostics) {
	d := newDecoder(ctx, files, trust)
	for _, step := range []func(){
		func() { d.parse(files) }, d.declare, d.decodePolicies, d.decodeIssuers, d.decodeDNS, d.checkFiles, d.decodeCertificates, d.checkReferences,
	} {
		if step(); d.Over() {
			break
		}
	}
	d.settleHolds()
	if d.Budget.Stopped() && !d.Exhausted { // ended between two evaluations
		d.Exhausted = true
		d.ReportLate(nil, nil)
	}
	if !trust.Known {
		d.Report(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "References not checked",
			Detail: "There is no certroll.hcl at hand, so whether vault(), env(), httpreq, webroots, servers and endpoints stay within what the reconciler allows was not checked. Pass it with --config."})
	}
	d.Sort()
	if d.Diags.HasErrors() {
		return nil, d.Diags
	}
	for _, p := range d.policies {
		d.spec.PolicyFiles = append(d.spec.PolicyFiles, p.Files)
	}
	found := d.spec // a copy: a pointer into the decoder would keep the syntax trees of all files alive
	return &found, d.Diags
}

// parse parses all files, the reconciler's own first.
func (d *decoder) parse(files []spec.File) {
	total := 0
	for _, f := range files {
		total += len(f.Bytes)
	}
	if len(files) > spec.MaxFiles || total > spec.MaxTotalSize {
		d.Broken = true
		d.Fault(nil, nil, "Config repo too large", "There are %d files of %d bytes; at most %d files and %d bytes are read.", len(files), total, spec.MaxFiles, spec.MaxTotalSize)
		return
	}
	for _, f := range d.trust.Files {
		d.parseFile(f, true)
	}
	for _, f := range files {
		if d.Over() {
			return
		}
		d.parseFile(f, false)
	}
	d.oldFirst()
}

func (d *decoder) parseFile(f spec.File, trusted bool) {
	body, diags := spec.Parse(f)
	d.Report(diags...)
	if body == nil {
		d.Broken = true
		return
	}
	d.Sources[f.Path] = f.Bytes
	d.files = append(d.files, parsed{path: f.Path, body: body, trusted: trusted})
}
