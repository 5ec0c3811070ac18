package spec

import (
	"regexp"
	"strconv"
	"time"

	"certroll/spec/text"
)

// limits reads what is stated of a CA's limits over what is known of them; nil
// where there is nothing of either.
func (b *body) limits(directory string) *Limits {
	l := KnownLimits(directory)
	if in := b.block("limits"); in != nil {
		in.limit("orders", &l.Orders)
		in.limit("certificates_per_domain", &l.PerDomain)
		in.limit("exact_set", &l.ExactSet)
		in.limit("failed_validations", &l.FailedValidations)
		if n := in.integer("consecutive_failures", 0, 1_000_000); n.ok {
			l.ConsecutiveFailures = n.v
		}
		in.done()
	}
	if l == (Limits{}) {
		return nil
	}
	return &l
}

var limitText = regexp.MustCompile(`^([0-9]{1,7})/([0-9a-z.]+)$`)

// limit reads "50/7d", or "none".
func (b *body) limit(name string, into *Limit) {
	s := b.text(name)
	if !s.ok {
		return
	}
	if s.v == "none" {
		*into = Limit{}
		return
	}
	if m := limitText.FindStringSubmatch(s.v); m != nil {
		burst, err := strconv.Atoi(m[1])
		window, ok := parseSpan(m[2])
		if err == nil && ok && burst > 0 && window >= time.Second && window <= 400*day {
			*into = Limit{burst, window}
			return
		}
	}
	b.fault(s.at, "Invalid limit", "%s = %q: write how many in which time, as in \"50/7d\" or \"300/3h\", or \"none\".", name, text.Short(s.v))
}
