package review

import (
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"

	"certroll/reconcile/ledger"
	"certroll/spec"
)

// Owners maps a domain to the directories of the repo that have names at or below the
// domain, each with one certificate as an example.
type Owners map[string]map[string]string

// NewOwners collects the owners in a revision.
func NewOwners(s *spec.Spec) Owners {
	o := Owners{}
	for _, c := range s.Certificates {
		dir := path.Dir(c.File)
		for _, name := range c.Names() {
			for _, domain := range upward(name) {
				if o[domain] == nil {
					o[domain] = map[string]string{}
				}
				if o[domain][dir] == "" {
					o[domain][dir] = c.Name
				}
			}
		}
	}
	return o
}

// upward returns the name without its wildcard and the domains above it, up to the
// registered domain. An IP address has none above it.
func upward(name string) []string {
	name = strings.TrimPrefix(name, "*.")
	if _, err := netip.ParseAddr(name); err == nil {
		return []string{name}
	}
	top := ledger.RegisteredDomain(name)
	list := []string{name}
	for name != top {
		_, above, ok := strings.Cut(name, ".")
		if !ok {
			break
		}
		name = above
		list = append(list, name)
	}
	return list
}

// Other returns the domain above a name that belongs to another directory than dir. The
// first domain upward from the name at or below which the repo has names decides. It
// belongs to another directory if none of those names is in dir, in a directory above it or
// below it. A registered domain that several directories share belongs to none.
func (o Owners) Other(name, dir string) (domain, theirs, certificate string, found bool) {
	domains := upward(name)
	// From the most specific domain upward: a team that has a subdomain owns the names in
	// it, whatever team has the domain above.
	for _, domain := range domains {
		dirs := o[domain]
		if len(dirs) == 0 {
			continue
		}
		shared := domain == domains[len(domains)-1] && len(dirs) > 1
		for d := range dirs {
			shared = shared || related(d, dir)
		}
		if shared {
			return "", "", "", false
		}
		// The smallest name, so that the note is the same in every run.
		theirs = slices.Min(slices.Collect(maps.Keys(dirs)))
		return domain, theirs, dirs[theirs], true
	}
	return "", "", "", false
}

// related reports whether two directories are the same, or one contains the other. The root
// contains every directory, and therefore does not count.
func related(a, b string) bool {
	within := func(inner, outer string) bool { return outer != "." && strings.HasPrefix(inner, outer+"/") }
	return a == b || within(a, b) || within(b, a)
}
