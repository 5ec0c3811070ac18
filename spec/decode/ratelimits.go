package decode

import (
	"regexp"
	"strconv"
	"time"

	"certroll/spec"
	"certroll/spec/text"
)

// limits reads the stated limits of a CA, with the known limits of its directory as
// defaults. It returns nil if there are neither.
func (b *body) limits(directory string) *spec.Limits {
	l := spec.KnownLimits(directory)
	if in := b.block("limits"); in != nil {
		in.limit("orders", &l.Orders)
		in.limit("certificates_per_domain", &l.PerDomain)
		in.limit("exact_set", &l.ExactSet)
		in.limit("failed_validations", &l.FailedValidations)
		if n := in.Integer("consecutive_failures", 0, 1_000_000); n.OK {
			l.ConsecutiveFailures = n.Value
		}
		in.Finish()
	}
	if l == (spec.Limits{}) {
		return nil
	}
	return &l
}

var limitText = regexp.MustCompile(`^([0-9]{1,7})/([0-9a-z.]+)$`)

// limit parses "50/7d" (number per time), or "none".
func (b *body) limit(name string, into *spec.Limit) {
	s := b.Text(name)
	if !s.OK {
		return
	}
	if s.Value == "none" {
		*into = spec.Limit{}
		return
	}
	if m := limitText.FindStringSubmatch(s.Value); m != nil {
		burst, err := strconv.Atoi(m[1])
		window, ok := spec.ParseSpan(m[2])
		if err == nil && ok && burst > 0 && window >= time.Second && window <= 400*spec.Day {
			*into = spec.Limit{Burst: burst, Window: window}
			return
		}
	}
	b.Fault(s.At, "Invalid limit", "%s = %q: write how many in which time, as in \"50/7d\" or \"300/3h\", or \"none\".", name, text.Short(s.Value))
}
