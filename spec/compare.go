package spec

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// Difference says what became of a block.
type Difference string

// The differences.
const (
	Added   Difference = "added"
	Removed Difference = "removed"
	Changed Difference = "changed"
)

// Change is an issuer or dns block that differs between two specs. Such a
// block decides which server a credential is sent to.
type Change struct {
	Block      string // "issuer" or "dns"
	Name       string
	Difference Difference
	Fields     []FieldChange // in the order of their names
	Range      hcl.Range     // of the block's header; of one that was removed where it was
}

// FieldChange is one setting of a block, as in the file: a reference as such,
// which nobody followed. "" is one that is not set.
type FieldChange struct{ Field, Old, New string }

// Compare lists the issuer and dns blocks that differ, issuers first, each by
// name. Of two specs it sees what was decoded, so a block that moved to another
// file, or is written in another way, is no change. A nil spec has no blocks.
func Compare(before, after *Spec) []Change {
	before, after = orEmpty(before), orEmpty(after)
	changes := compareBlocks("issuer", before.Issuers, after.Issuers, (*Issuer).settings, func(i *Issuer) hcl.Range { return i.Range })
	return append(changes, compareBlocks("dns", before.DNS, after.DNS, (*DNSAccount).settings, func(a *DNSAccount) hcl.Range { return a.Range })...)
}

func orEmpty(s *Spec) *Spec {
	if s == nil {
		return &Spec{}
	}
	return s
}

func compareBlocks[T any](kind string, before, after map[string]*T, settings func(*T) map[string]string, at func(*T) hcl.Range) []Change {
	names := map[string]bool{}
	for _, m := range []map[string]*T{before, after} {
		for name := range m {
			names[name] = true
		}
	}
	var changes []Change
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, is := before[name], after[name]
		c := Change{Block: kind, Name: name, Difference: Changed}
		var old, now map[string]string
		if was == nil {
			c.Difference = Added
		} else {
			old, c.Range = settings(was), at(was)
		}
		if is == nil {
			c.Difference = Removed
		} else {
			now, c.Range = settings(is), at(is)
		}
		if c.Fields = compareSettings(old, now); len(c.Fields) > 0 {
			changes = append(changes, c)
		}
	}
	return changes
}

func compareSettings(old, now map[string]string) []FieldChange {
	var list []FieldChange
	for _, m := range []map[string]string{old, now} {
		for name := range m {
			if old[name] != now[name] {
				list = append(list, FieldChange{name, old[name], now[name]})
			}
		}
	}
	slices.SortFunc(list, func(a, b FieldChange) int { return cmp.Compare(a.Field, b.Field) })
	return slices.Compact(list)
}

// put adds what is set.
func put(to map[string]string, name, value string) {
	if value != "" {
		to[name] = value
	}
}

func (i *Issuer) settings() map[string]string {
	s := map[string]string{}
	put(s, "directory", i.Directory)
	put(s, "email", i.Email)
	put(s, "terms_of_service_agreed", strconv.FormatBool(i.AgreeTOS))
	put(s, "profile", i.Profile)
	put(s, "preferred_chain", i.PreferredChain)
	if i.CABundle != "" {
		sum := sha256.Sum256([]byte(i.CABundle))
		put(s, "ca_bundle", "sha256:"+hex.EncodeToString(sum[:]))
	}
	if i.EAB != nil {
		put(s, "eab.key_id", i.EAB.KeyID.String())
		put(s, "eab.hmac", i.EAB.HMAC.String())
	}
	if l := i.Limits; l != nil {
		put(s, "limits.orders", l.Orders.String())
		put(s, "limits.per_domain", l.PerDomain.String())
		put(s, "limits.exact_set", l.ExactSet.String())
		put(s, "limits.failed_validations", l.FailedValidations.String())
		put(s, "limits.consecutive_failures", number(l.ConsecutiveFailures))
	}
	return s
}

func (a *DNSAccount) settings() map[string]string {
	s := map[string]string{}
	put(s, "challenge", string(a.Challenge))
	put(s, "provider", a.Provider)
	for name, v := range a.Credentials {
		put(s, "credentials."+name, v.String())
	}
	put(s, "follow_cname", strconv.FormatBool(a.FollowCNAME))
	put(s, "parallel", number(a.Parallel))
	put(s, "listen", a.Listen)
	put(s, "webroot", a.Webroot)
	put(s, "propagation.timeout", span(a.Propagation.Timeout))
	put(s, "propagation.interval", span(a.Propagation.Interval))
	put(s, "propagation.wait", span(a.Propagation.Wait))
	put(s, "propagation.nameservers", strings.Join(a.Propagation.Nameservers, " "))
	return s
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func span(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return spanText(d)
}

// String writes a limit as a file has it; "" for none.
func (l Limit) String() string {
	if l.Burst == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%s", l.Burst, spanText(l.Window))
}

// String writes a value as it stands in the file, without following it. Text
// is no secret: Decode takes no secret that is written out.
func (v Value) String() string {
	switch v.Source {
	case FromVault:
		return fmt.Sprintf("vault(%q, %q)", v.Path, v.Field)
	case FromEnv:
		return fmt.Sprintf("env(%q)", v.Name)
	case FromFile:
		return fmt.Sprintf("file(%q)", v.Path)
	}
	return v.Text
}
