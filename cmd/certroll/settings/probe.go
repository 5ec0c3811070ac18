package settings

import (
	"fmt"
	"time"

	"github.com/hashicorp/hcl/v2"

	"certroll/reconcile/probe"
	"certroll/spec"
)

// Probe is the probe block: which endpoints certroll may probe, how often, and how long
// a consumer may take to load a new certificate.
type Probe struct {
	Allow        []string `hcl:"allow,optional"`
	IntervalText string   `hcl:"interval,optional"`
	AfterText    string   `hcl:"after,optional"`
	TimeoutText  string   `hcl:"timeout,optional"`

	Rules                    spec.ProbeRules
	Interval, After, Timeout time.Duration // 0: default
}

// complete checks and parses the settings.
func (p *Probe) complete(where hcl.Range) (diags hcl.Diagnostics) {
	fault := func(summary, format string, args ...any) {
		diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Subject: &where, Detail: fmt.Sprintf(format, args...)})
	}
	var why string
	if p.Rules, why = spec.ParseProbeRules(p.Allow); why != "" {
		fault("Invalid endpoint", "probe.allow has %s.", why)
	}
	for _, d := range []struct {
		name, text  string
		least, most time.Duration
		to          *time.Duration
	}{
		{"interval", p.IntervalText, time.Second, 24 * time.Hour, &p.Interval},
		{"after", p.AfterText, time.Second, 30 * 24 * time.Hour, &p.After},
		{"timeout", p.TimeoutText, 100 * time.Millisecond, time.Minute, &p.Timeout},
	} {
		if d.text == "" {
			continue
		}
		v, err := time.ParseDuration(d.text)
		if err != nil || v < d.least || v > d.most {
			fault("Invalid duration", "probe.%s = %q is no duration from %s to %s; write it like \"15m\".", d.name, d.text, d.least, d.most)
		}
		*d.to = v
	}
	return diags
}

// Prober returns a prober limited to the probe block's rules.
func (s *Settings) Prober() *probe.Prober {
	return probe.New(probe.Options{Rules: s.Probe.Rules, Timeout: s.Probe.Timeout})
}
