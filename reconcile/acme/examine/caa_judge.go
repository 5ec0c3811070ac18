package examine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// caaQuestion is the question to a CAA record set: may this CA issue?
type caaQuestion struct {
	wildcard   bool
	identities []string // the CA's domains; none: unknown
	methods    []string // the accounts' challenge types, first choice first
	// account returns the URL of certroll's account at the CA, "" if there is none yet.
	// judgeCAA calls it only if a record names an account.
	account func() (string, error)
}

// caaAnswer is the answer to a caaQuestion.
type caaAnswer int

const (
	caaAllowed caaAnswer = iota
	caaPartly            // only by some of the challenge types
	caaUnsure            // a record names an account, and ours is unknown
	caaUnknown           // a record names a CA, and our CA's domains are unknown
	caaForbidden
)

// caaVerdict is the answer with its reason.
type caaVerdict struct {
	answer  caaAnswer
	why     string
	methods []string // for caaPartly: the challenge types that are not allowed
}

// caaKnown are the properties that a CA must process, or that do not concern TLS server
// certificates (RFC 8659 section 4, RFC 9495).
var caaKnown = []string{"issue", "issuewild", "iodef", "issuemail"}

const caaCritical = 1 << 7

// judgeCAA judges the relevant record set of a name (RFC 8659 section 4, RFC 8657). One
// permitting property suffices, whatever the others say.
func judgeCAA(set []*dns.CAA, q caaQuestion) caaVerdict {
	for _, r := range set {
		if r.Flag&caaCritical != 0 && !slices.Contains(caaKnown, strings.ToLower(r.Tag)) {
			return caaVerdict{answer: caaForbidden, why: "the property " + r.Tag + " is critical, and a CA that does not know it must not issue"}
		}
	}
	properties := caaProperties(set, q.wildcard)
	if len(properties) == 0 {
		return caaVerdict{}
	}
	j := &caaJudge{caaQuestion: q}
	for _, p := range properties {
		j.property(parseIssue(p.Value))
	}
	return j.verdict()
}

// caaProperties returns the properties that apply: for a wildcard issuewild if present,
// else issue (RFC 8659 section 4.3).
func caaProperties(set []*dns.CAA, wildcard bool) []*dns.CAA {
	tagged := func(tag string) (out []*dns.CAA) {
		for _, r := range set {
			if strings.EqualFold(r.Tag, tag) {
				out = append(out, r)
			}
		}
		return out
	}
	if wildcard {
		if wild := tagged("issuewild"); len(wild) > 0 {
			return wild
		}
	}
	return tagged("issue")
}

// caaJudge collects the permissions of a record set's properties.
type caaJudge struct {
	caaQuestion
	allowed []string // challenge types
	maybe   bool     // would be allowed if certroll's account were known to match
	other   bool     // a property names a CA, and our CA's domains are unknown
	reasons []string
}

func (j *caaJudge) refuse(format string, args ...any) {
	if why := fmt.Sprintf(format, args...); !slices.Contains(j.reasons, why) {
		j.reasons = append(j.reasons, why)
	}
}

// property judges one issue or issuewild property.
func (j *caaJudge) property(p issueValue) {
	switch {
	case p.bad != "":
		j.refuse("%s, which allows no CA", p.bad)
	case p.domain == "":
		j.refuse("a property without a CA allows no CA")
	case len(j.identities) == 0:
		j.other = true
	case !slices.ContainsFunc(j.identities, func(id string) bool { return strings.EqualFold(id, p.domain) }):
		j.refuse("%s is not %s", p.domain, strings.Join(j.identities, " or "))
	default:
		j.parameters(p)
	}
}

// parameters judges a property that names our CA.
func (j *caaJudge) parameters(p issueValue) {
	methods, ok := j.methodsOf(p)
	if !ok {
		return
	}
	uris := p.all("accounturi")
	if len(uris) > 1 {
		j.refuse("a property with several accounturi is never satisfied (RFC 8657 section 3)")
		return
	}
	if len(uris) == 1 {
		ours, err := j.account()
		switch {
		case err != nil:
			j.refuse("only the account %s is allowed, and ours cannot be read: %v", uris[0], err)
			j.maybe = true
			return
		case ours == "":
			j.refuse("only the account %s is allowed, and there is none of ours at the CA yet", uris[0])
			j.maybe = true
			return
		case ours != uris[0]:
			j.refuse("only the account %s is allowed, and ours is %s", uris[0], ours)
			return
		}
	}
	for _, m := range methods {
		if !slices.Contains(j.allowed, m) {
			j.allowed = append(j.allowed, m)
		}
	}
}

// methodsOf returns the accounts' challenge types that a property permits.
func (j *caaJudge) methodsOf(p issueValue) (methods []string, ok bool) {
	lists := p.all("validationmethods")
	if len(lists) == 0 {
		return j.methods, true
	}
	if len(lists) > 1 {
		j.refuse("a property with several validationmethods is never satisfied (RFC 8657 section 4)")
		return nil, false
	}
	listed := strings.Split(lists[0], ",")
	if lists[0] != "" && slices.ContainsFunc(listed, func(m string) bool { return !isLabel(m) }) {
		j.refuse("validationmethods=%s is malformed, and never satisfied", lists[0])
		return nil, false
	}
	for _, m := range j.methods {
		if slices.Contains(listed, m) {
			methods = append(methods, m)
		}
	}
	if len(methods) == 0 {
		j.refuse("only %s may be used, and the DNS accounts offer %s", cmp.Or(lists[0], "no method"), strings.Join(j.methods, ", "))
	}
	return methods, len(methods) > 0
}

// verdict combines the properties: each of the accounts' challenge types needs one
// property that permits it.
func (j *caaJudge) verdict() caaVerdict {
	var left []string
	for _, m := range j.methods {
		if !slices.Contains(j.allowed, m) {
			left = append(left, m)
		}
	}
	why := strings.Join(j.reasons, "; ")
	switch {
	case len(j.allowed) > 0 && len(left) == 0:
		return caaVerdict{}
	case len(j.allowed) > 0:
		return caaVerdict{answer: caaPartly, methods: left, why: strings.Join(left, ", ") + " may not be used"}
	case j.maybe:
		return caaVerdict{answer: caaUnsure, why: why}
	case j.other:
		return caaVerdict{answer: caaUnknown, why: why}
	}
	return caaVerdict{answer: caaForbidden, why: why}
}

// issueValue is the value of an issue or issuewild property.
type issueValue struct {
	domain string // "": no CA
	params [][2]string
	bad    string // why it is malformed; it then permits no CA
}

func (v issueValue) all(tag string) (values []string) {
	for _, p := range v.params {
		if strings.EqualFold(p[0], tag) {
			values = append(values, p[1])
		}
	}
	return values
}

const blank = " \t"

// parseIssue parses a value by the grammar of RFC 8659 section 4.2:
//
//	ca.example.net; accounturi=https://ca.example.net/acct/1; validationmethods=dns-01
func parseIssue(value string) issueValue {
	domain, rest, more := strings.Cut(value, ";")
	v := issueValue{domain: strings.Trim(domain, blank)}
	if v.domain != "" && slices.ContainsFunc(strings.Split(v.domain, "."), func(l string) bool { return !isLabel(l) }) {
		return issueValue{bad: fmt.Sprintf("the value %q does not begin with a domain", value)}
	}
	if !more || strings.Trim(rest, blank) == "" {
		return v
	}
	for part := range strings.SplitSeq(rest, ";") {
		tag, text, ok := strings.Cut(part, "=")
		tag, text = strings.Trim(tag, blank), strings.Trim(text, blank)
		if !ok || !isLabel(tag) || strings.ContainsFunc(text, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
			return issueValue{bad: fmt.Sprintf("the value %q has the malformed parameter %q", value, strings.Trim(part, blank))}
		}
		v.params = append(v.params, [2]string{tag, text})
	}
	return v
}

// isLabel reports whether s has only letters, digits and inner hyphens.
func isLabel(s string) bool {
	return s != "" && s[0] != '-' && s[len(s)-1] != '-' &&
		strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
