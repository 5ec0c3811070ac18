package acme

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"certroll/spec"
	"certroll/spec/text"
)

// mostProfiles bounds how many profiles of a CA a message names.
const mostProfiles = 20

// ExamineDirectory compares the issuer with what the CA's directory says: the
// profiles it offers, whether it wants external account bindings, and its terms of
// service. What it returns are Findings; none where nothing is wrong. It asks for
// the directory alone and changes nothing; the account's document is read from the
// store.
func (x *Examiner) ExamineDirectory(ctx context.Context, issuer *spec.Issuer) []error {
	doing := "comparing issuer." + issuer.Name + " with the directory " + issuer.Directory
	m, failed := x.directory(ctx, issuer, doing)
	if ctx.Err() != nil {
		return nil // a question that was interrupted says nothing
	}
	if failed != nil {
		return []error{struck(x.secrets, failed)}
	}
	e := directoryExam{issuer: issuer, meta: m, doing: doing}
	e.account, e.unread = x.accounts.stored(ctx, issuer)
	var found []error
	for _, f := range []*Finding{e.profile(), e.binding(), e.terms(x.accounts)} {
		if f != nil {
			found = append(found, struck(x.secrets, f))
		}
	}
	return found
}

// directoryExam is one issuer before its CA's directory.
type directoryExam struct {
	issuer  *spec.Issuer
	meta    meta
	doing   string
	account storedAccount
	unread  error // why the account is not known
}

func (e *directoryExam) finding(severity, setting, said, advice string) *Finding {
	return &Finding{severity: severity, about: setting + " of issuer." + e.issuer.Name,
		why: &Error{class: ClassConfig, doing: e.doing, said: said, advice: advice}}
}

// profile finds a profile that the CA does not offer, or no longer does.
func (e *directoryExam) profile() *Finding {
	wanted := e.issuer.Profile
	if _, offered := e.meta.Profiles[wanted]; wanted == "" || offered {
		return nil
	}
	if len(e.meta.Profiles) == 0 {
		return e.finding(SeverityError, "profile", "profile = "+strconv.Quote(wanted)+", and the CA's directory offers no profiles",
			"remove profile from the issuer, or use an issuer whose CA offers it")
	}
	return e.finding(SeverityError, "profile", "the CA does not offer profile = "+strconv.Quote(wanted)+"; it offers "+profileList(e.meta.Profiles),
		"set profile to one of those, or remove it")
}

// profileList names the profiles, which are text from outside.
func profileList(profiles map[string]any) string {
	names := slices.Sorted(maps.Keys(profiles))
	more := len(names) - mostProfiles
	names = names[:min(len(names), mostProfiles)]
	for i, name := range names {
		names[i] = strconv.Quote(clipTo(40, text.Line(name)))
	}
	list := strings.Join(names, ", ")
	if more > 0 {
		list += " and " + text.Counted(more, "more profile")
	}
	return list
}

// binding finds a CA that makes accounts by external account binding alone, where
// there is none and no account yet.
func (e *directoryExam) binding() *Finding {
	if !e.meta.EAB || e.issuer.EAB != nil || e.account.url != "" {
		return nil
	}
	said := "the CA makes accounts with an external account binding only (externalAccountRequired), the issuer has no eab block"
	if e.unread != nil {
		return e.finding(SeverityWarning, "eab", said+", and whether there is an account already is not known: "+e.unread.Error(),
			rejections["externalAccountRequired"].advice)
	}
	return e.finding(SeverityError, "eab", said+", and there is no account yet", rejections["externalAccountRequired"].advice)
}

// terms finds terms of service that are not agreed to, and others than those that
// the account was made under. A CA that insists on the new ones says so with
// userActionRequired (RFC 8555 section 7.3.3); most go on.
func (e *directoryExam) terms(accounts *accounts) *Finding {
	now, agreed := e.meta.Terms, e.account.terms
	shown := clipTo(200, text.Line(now))
	switch {
	case now == "":
		return nil
	case !e.issuer.AgreeTOS:
		return e.finding(SeverityWarning, "terms of service", "the CA asks to agree to its terms of service at "+shown+", and the issuer does not",
			"read them, then set terms_of_service_agreed = true in the issuer")
	case agreed == "" || agreed == now:
		return nil
	}
	advice := "read them. Orders go on, unless the CA refuses them until they are agreed to"
	if command := accounts.setTerms(e.account.id, now); command != "" {
		advice += "; to end this warning: " + command
	}
	return e.finding(SeverityWarning, "terms of service", "the CA's terms of service are at "+shown+" now; the account was made under those at "+clipTo(200, text.Line(agreed)), advice)
}
