package examine

import (
	"errors"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func caaSet(t testing.TB, records ...string) (set []*dns.CAA) {
	t.Helper()
	for _, text := range records {
		rr, err := dns.NewRR("example.com. 60 IN CAA " + text)
		if err != nil {
			t.Fatal(err)
		}
		set = append(set, rr.(*dns.CAA))
	}
	return set
}

// TestJudgeCAA covers the cases of RFC 8659 and RFC 8657. The CA is ca.example.net; our
// account there is /acct/1.
func TestJudgeCAA(t *testing.T) {
	const ours, other = "https://ca.example.net/acct/1", "https://ca.example.net/acct/2"
	for name, test := range map[string]struct {
		records  string // one per line
		wildcard bool
		methods  string // empty: "dns-01"
		account  string // empty: our account
		failure  error  // of looking up the account
		nobody   bool   // the CA publishes no CAA domain
		want     caaAnswer
		why      string // part of the reason
	}{
		"no records":                        {},
		"it is named":                       {records: `0 issue "ca.example.net"`},
		"in another case":                   {records: `0 ISSUE "CA.Example.NET"`},
		"its second name":                   {records: `0 issue "other.example.net"`},
		"another is named":                  {records: `0 issue "ca.example.org"`, want: caaForbidden, why: "ca.example.org is not ca.example.net or other.example.net"},
		"another too":                       {records: "0 issue \"ca.example.org\"\n0 issue \"ca.example.net\""},
		"a name below":                      {records: `0 issue "sub.ca.example.net"`, want: caaForbidden},
		"a name above":                      {records: `0 issue "example.net"`, want: caaForbidden},
		"nobody":                            {records: `0 issue ";"`, want: caaForbidden, why: "without a CA allows no CA"},
		"nobody, empty":                     {records: `0 issue ""`, want: caaForbidden},
		"nobody, blanks":                    {records: `0 issue "  "`, want: caaForbidden},
		"nobody, and it":                    {records: "0 issue \";\"\n0 issue \"ca.example.net\""},
		"nobody, with parameters":           {records: `0 issue "; policy=ev"`, want: caaForbidden},
		"blanks around":                     {records: `0 issue "  ca.example.net  ;  "`},
		"a semicolon and no more":           {records: `0 issue "ca.example.net;"`},
		"an unknown parameter":              {records: `0 issue "ca.example.net; account=230123"`},
		"malformed: no domain":              {records: `0 issue "%%%%%"`, want: caaForbidden, why: "does not begin with a domain"},
		"malformed: a blank within":         {records: `0 issue "ca.example.net and more"`, want: caaForbidden},
		"malformed: an empty label":         {records: `0 issue "ca..example.net"`, want: caaForbidden},
		"malformed: a hyphen first":         {records: `0 issue "-ca.example.net"`, want: caaForbidden},
		"malformed: a final dot":            {records: `0 issue "ca.example.net."`, want: caaForbidden},
		"malformed: a parameter":            {records: `0 issue "ca.example.net; policy"`, want: caaForbidden, why: `malformed parameter "policy"`},
		"malformed: a parameter's tag":      {records: `0 issue "ca.example.net; po_licy=ev"`, want: caaForbidden},
		"malformed: a blank in a parameter": {records: `0 issue "ca.example.net; policy=e v"`, want: caaForbidden},
		"malformed, and it":                 {records: "0 issue \"%%%%%\"\n0 issue \"ca.example.net\""},
		"a hyphen within":                   {records: `0 issue "ca--1.example"`, want: caaForbidden, why: "ca--1.example is not"},

		"only a report address":    {records: `0 iodef "mailto:security@example.com"`},
		"only for mail":            {records: `0 issuemail ";"`},
		"only for wildcards":       {records: `0 issuewild ";"`},
		"an unknown property":      {records: `0 tbs "unknown"`},
		"critical and unknown":     {records: `128 tbs "unknown"`, want: caaForbidden, why: "tbs is critical"},
		"critical, unknown, named": {records: "0 issue \"ca.example.net\"\n128 tbs \"unknown\"", want: caaForbidden, why: "tbs is critical"},
		"critical and known":       {records: `128 issue "ca.example.net"`},
		"critical, another case":   {records: `128 IssueWild "ca.example.net"`},
		"another flag":             {records: `1 tbs "unknown"`},
		"a critical one by nobody": {records: `128 tbs "unknown"`, nobody: true, want: caaForbidden},

		"wildcard by issue":                  {records: `0 issue "ca.example.net"`, wildcard: true},
		"wildcard refused by issue":          {records: `0 issue "ca.example.org"`, wildcard: true, want: caaForbidden},
		"wildcard by issuewild":              {records: "0 issue \"ca.example.org\"\n0 issuewild \"ca.example.net\"", wildcard: true},
		"wildcard refused by issuewild":      {records: "0 issue \"ca.example.net\"\n0 issuewild \";\"", wildcard: true, want: caaForbidden},
		"wildcard without any":               {records: `0 iodef "mailto:security@example.com"`, wildcard: true},
		"no wildcard is not bound by it":     {records: "0 issue \"ca.example.net\"\n0 issuewild \";\""},
		"no wildcard is not allowed by it":   {records: "0 issue \";\"\n0 issuewild \"ca.example.net\"", want: caaForbidden},
		"wildcard, malformed issuewild":      {records: "0 issue \"ca.example.net\"\n0 issuewild \"%%%\"", wildcard: true, want: caaForbidden},
		"issuewild binds only wildcard":      {records: `0 issuewild "ca.example.org"`},
		"issuewild alone refuses a wildcard": {records: `0 issuewild "ca.example.org"`, wildcard: true, want: caaForbidden},

		"our account":             {records: `0 issue "ca.example.net; accounturi=` + ours + `"`},
		"another account":         {records: `0 issue "ca.example.net; accounturi=` + other + `"`, want: caaForbidden, why: "only the account " + other + " is allowed, and ours is " + ours},
		"one of two accounts":     {records: "0 issue \"ca.example.net; accounturi=" + other + "\"\n0 issue \"ca.example.net; accounturi=" + ours + `"`},
		"two in one property":     {records: `0 issue "ca.example.net; accounturi=` + ours + `; accounturi=` + ours + `"`, want: caaForbidden, why: "several accounturi"},
		"the account's tag":       {records: `0 issue "ca.example.net; AccountURI=` + other + `"`, want: caaForbidden},
		"a slash more":            {records: `0 issue "ca.example.net; accounturi=` + ours + `/"`, want: caaForbidden},
		"no account yet":          {records: `0 issue "ca.example.net; accounturi=` + other + `"`, account: "none", want: caaUnsure, why: "there is none of ours"},
		"the account is unread":   {records: `0 issue "ca.example.net; accounturi=` + other + `"`, failure: errors.New("403 permission denied"), want: caaUnsure, why: "403 permission denied"},
		"no account, but allowed": {records: "0 issue \"ca.example.net; accounturi=" + other + "\"\n0 issue \"ca.example.net\"", account: "none"},
		"the account unasked":     {records: `0 issue "ca.example.net"`, failure: errors.New("must not be asked")},
		"another CA's account":    {records: `0 issue "ca.example.org; accounturi=` + ours + `"`, want: caaForbidden},
		"an empty account":        {records: `0 issue "ca.example.net; accounturi="`, want: caaForbidden},

		"our method":              {records: `0 issue "ca.example.net; validationmethods=dns-01"`},
		"among others":            {records: `0 issue "ca.example.net; validationmethods=http-01,dns-01,ca-custom"`},
		"another method":          {records: `0 issue "ca.example.net; validationmethods=http-01"`, want: caaForbidden, why: "only http-01 may be used, and the DNS accounts offer dns-01"},
		"a method's case":         {records: `0 issue "ca.example.net; validationmethods=DNS-01"`, want: caaForbidden},
		"no method":               {records: `0 issue "ca.example.net; validationmethods="`, want: caaForbidden, why: "only no method"},
		"malformed methods":       {records: `0 issue "ca.example.net; validationmethods=dns-01,,http-01"`, want: caaForbidden, why: "malformed"},
		"methods twice":           {records: `0 issue "ca.example.net; validationmethods=dns-01; validationmethods=dns-01"`, want: caaForbidden, why: "several validationmethods"},
		"method and account":      {records: `0 issue "ca.example.net; validationmethods=dns-01; accounturi=` + ours + `"`},
		"method, not account":     {records: `0 issue "ca.example.net; validationmethods=dns-01; accounturi=` + other + `"`, want: caaForbidden},
		"account, not method":     {records: `0 issue "ca.example.net; validationmethods=http-01; accounturi=` + ours + `"`, want: caaForbidden},
		"one of our two methods":  {records: `0 issue "ca.example.net; validationmethods=dns-01"`, methods: "dns-01 http-01", want: caaPartly, why: "http-01 may not be used"},
		"two properties for both": {records: "0 issue \"ca.example.net; validationmethods=dns-01\"\n0 issue \"ca.example.net; validationmethods=http-01\"", methods: "dns-01 http-01"},
		"either for one":          {records: "0 issuewild \"ca.example.net; validationmethods=http-01\"\n0 issuewild \"ca.example.net; validationmethods=dns-01\"", wildcard: true},

		"the CA has no name":             {records: `0 issue "ca.example.net"`, nobody: true, want: caaUnknown},
		"the CA has no name, nobody":     {records: `0 issue ";"`, nobody: true, want: caaForbidden},
		"the CA has no name, malformed":  {records: `0 issue "%%%"`, nobody: true, want: caaForbidden},
		"the CA has no name, no records": {nobody: true},
	} {
		t.Run(name, func(t *testing.T) {
			q := caaQuestion{wildcard: test.wildcard, methods: []string{"dns-01"}, identities: []string{"ca.example.net", "other.example.net"}}
			if test.methods != "" {
				q.methods = strings.Fields(test.methods)
			}
			if test.nobody {
				q.identities = nil
			}
			q.account = func() (string, error) {
				if test.failure != nil && !strings.Contains(test.records, "accounturi") {
					t.Error("the account was asked for, and no record names one")
				}
				switch test.account {
				case "none":
					return "", test.failure
				default:
					return ours, test.failure
				}
			}
			var records []string
			if test.records != "" {
				records = strings.Split(test.records, "\n")
			}
			v := judgeCAA(caaSet(t, records...), q)
			if v.answer != test.want || !strings.Contains(v.why, test.why) {
				t.Errorf("got %d (%s), want %d with %q in it", v.answer, v.why, test.want, test.why)
			}
			if (v.answer == caaAllowed || v.answer == caaUnknown) != (v.why == "") {
				t.Errorf("the answer is %d and the reason %q", v.answer, v.why)
			}
		})
	}
}

func FuzzParseIssue(f *testing.F) {
	for _, seed := range []string{"ca.example.net", ";", "ca.example.net; a=b; c=d", "a;;", "=;=", "%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		v := parseIssue(value)
		if v.bad != "" && (v.domain != "" || v.params != nil) {
			t.Errorf("%q is malformed and still says %+v", value, v)
		}
		if strings.ContainsAny(v.domain, " \t;=") {
			t.Errorf("%q has the domain %q", value, v.domain)
		}
	})
}
