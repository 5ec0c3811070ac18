package examine

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"certroll/reconcile/acme/ca"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/acme/session"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/text"
)

// mostProfiles bounds the profiles that a message lists.
const mostProfiles = 20

// ExamineDirectory compares the issuer with the CA's directory: profiles, external
// account binding and terms of service. The results are Findings; none if all is well.
// It fetches only the directory, reads the account's document from the store, and
// changes nothing.
func (x *Examiner) ExamineDirectory(ctx context.Context, issuer *spec.Issuer) []error {
	doing := "comparing issuer." + issuer.Name + " with the directory " + issuer.Directory
	m, failed := x.directory(ctx, issuer, doing)
	if ctx.Err() != nil {
		return nil // an interrupted query proves nothing
	}
	if failed != nil {
		return []error{problem.Strike(x.secrets, failed)}
	}
	e := directoryExam{issuer: issuer, meta: m, doing: doing}
	e.account, e.unread = x.accounts.Stored(ctx, issuer)
	var found []error
	for _, f := range []*problem.Finding{e.profile(), e.binding(), e.terms(x.accounts)} {
		if f != nil {
			found = append(found, problem.Strike(x.secrets, f))
		}
	}
	return found
}

// directoryExam compares one issuer with its CA's directory.
type directoryExam struct {
	issuer  *spec.Issuer
	meta    ca.Meta
	doing   string
	account session.Stored
	unread  error // why the account could not be read
}

func (e *directoryExam) finding(severity ledger.Severity, setting, said, advice string) *problem.Finding {
	return &problem.Finding{Level: severity, At: setting + " of issuer." + e.issuer.Name,
		Why: &problem.Error{OfClass: ledger.ClassConfig, Doing: e.doing, Said: said, Advice: advice}}
}

// profile reports a profile that the CA does not, or no longer, offer.
func (e *directoryExam) profile() *problem.Finding {
	wanted := e.issuer.Profile
	if _, offered := e.meta.Profiles[wanted]; wanted == "" || offered {
		return nil
	}
	if len(e.meta.Profiles) == 0 {
		return e.finding(ledger.SeverityError, "profile", "profile = "+strconv.Quote(wanted)+", and the CA's directory offers no profiles",
			"remove profile from the issuer, or use an issuer whose CA offers it")
	}
	return e.finding(ledger.SeverityError, "profile", "the CA does not offer profile = "+strconv.Quote(wanted)+"; it offers "+profileList(e.meta.Profiles),
		"set profile to one of those, or remove it")
}

// profileList lists profile names, which are text from outside.
func profileList(profiles map[string]any) string {
	names := slices.Sorted(maps.Keys(profiles))
	more := len(names) - mostProfiles
	names = names[:min(len(names), mostProfiles)]
	for i, name := range names {
		names[i] = strconv.Quote(problem.ClipTo(40, text.Line(name)))
	}
	list := strings.Join(names, ", ")
	if more > 0 {
		list += " and " + text.Counted(more, "more profile")
	}
	return list
}

// binding reports a missing eab block, if the CA requires external account binding and
// there is no account yet.
func (e *directoryExam) binding() *problem.Finding {
	if !e.meta.EAB || e.issuer.EAB != nil || e.account.URL != "" {
		return nil
	}
	said := "the CA makes accounts with an external account binding only (externalAccountRequired), the issuer has no eab block"
	if e.unread != nil {
		return e.finding(ledger.SeverityWarning, "eab", said+", and whether there is an account already is not known: "+e.unread.Error(),
			problem.AdviceOn("externalAccountRequired"))
	}
	return e.finding(ledger.SeverityError, "eab", said+", and there is no account yet", problem.AdviceOn("externalAccountRequired"))
}

// terms reports terms of service that the issuer has not agreed to, and terms that have
// changed since registration. A CA that requires agreement to new terms answers
// userActionRequired (RFC 8555 section 7.3.3); most do not.
func (e *directoryExam) terms(accounts *session.Accounts) *problem.Finding {
	now, agreed := e.meta.Terms, e.account.Terms
	shown := problem.ClipTo(200, text.Line(now))
	switch {
	case now == "":
		return nil
	case !e.issuer.AgreeTOS:
		return e.finding(ledger.SeverityWarning, "terms of service", "the CA asks to agree to its terms of service at "+shown+", and the issuer does not",
			"read them, then set terms_of_service_agreed = true in the issuer")
	case agreed == "" || agreed == now:
		return nil
	}
	advice := "read them. Orders go on, unless the CA refuses them until they are agreed to"
	if command := accounts.SetTerms(e.account.ID, now); command != "" {
		advice += "; to end this warning: " + command
	}
	return e.finding(ledger.SeverityWarning, "terms of service", "the CA's terms of service are at "+shown+" now; the account was made under those at "+problem.ClipTo(200, text.Line(agreed)), advice)
}
