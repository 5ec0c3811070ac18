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

// Owners says which directories of the repo have names at or below a domain,
// each with one certificate as an example.
type Owners map[string]map[string]string

// NewOwners takes stock of a revision.
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

// upward are a name without its wildcard and the domains above it, up to the
// registered one. An address stands alone.
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

// Other finds whose domain a name stands under, where that is not the
// directory's own. Going up from the name, the first domain at or below which
// the repo has names decides: it is another's where none of them stands in
// this directory, one above or one below it. A registered domain that several
// directories share is nobody's.
func (o Owners) Other(name, dir string) (domain, theirs, certificate string, found bool) {
	domains := upward(name)
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
		theirs = slices.Min(slices.Collect(maps.Keys(dirs)))
		return domain, theirs, dirs[theirs], true
	}
	return "", "", "", false
}

// related tells whether two directories are one, or one holds the other. All
// lie in the root, which makes them no family.
func related(a, b string) bool {
	within := func(inner, outer string) bool { return outer != "." && strings.HasPrefix(inner, outer+"/") }
	return a == b || within(a, b) || within(b, a)
}
