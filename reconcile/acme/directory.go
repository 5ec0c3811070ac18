package acme

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"certroll/spec"
	"certroll/spec/text"
)

// meta is what a directory says of its CA: RFC 8555 section 7.1.1, and the profiles
// of draft-aaron-acme-profiles section 3.
type meta struct {
	Terms      string         `json:"termsOfService"`
	Identities []string       `json:"caaIdentities"`
	EAB        bool           `json:"externalAccountRequired"`
	Profiles   map[string]any `json:"profiles"` // name to description; nil: the CA has none
}

// mostProfiles bounds how many profiles of a CA a message names.
const mostProfiles = 20

// meta reads the directory, of which all questions share one copy, or says why that
// cannot be done.
func (c *Client) meta(ctx context.Context, issuer *spec.Issuer, doing string) (meta, *Finding) {
	failed := func(err error) (meta, *Finding) {
		return meta{}, &Finding{severity: SeverityError, about: issuer.Directory, why: asError(doing, err)}
	}
	u, err := c.upstream(issuer)
	if err != nil {
		return failed(err)
	}
	body, _, err := u.get(ctx, doing, u.directory, maxAnswer)
	if err != nil {
		return failed(err)
	}
	var directory struct {
		Meta meta `json:"meta"`
	}
	if err := json.Unmarshal(body, &directory); err != nil {
		return failed(&Error{class: ClassCAUnavailable, doing: doing, said: "the directory cannot be read: " + err.Error(), cause: err,
			advice: "see that the issuer's directory is the URL of an ACME directory"})
	}
	return directory.Meta, nil
}

// ExamineDirectory compares the issuer with what the CA's directory says: the
// profiles it offers, whether it wants external account bindings, and its terms of
// service. What it returns are Findings; none where nothing is wrong. It asks for
// the directory alone and changes nothing; the account's document is read from the
// store.
func (c *Client) ExamineDirectory(ctx context.Context, issuer *spec.Issuer) []error {
	doing := "comparing issuer." + issuer.Name + " with the directory " + issuer.Directory
	m, failed := c.meta(ctx, issuer, doing)
	if ctx.Err() != nil {
		return nil // a question that was interrupted says nothing
	}
	if failed != nil {
		return []error{c.struck(failed)}
	}
	e := directoryExam{issuer: issuer, meta: m, doing: doing}
	e.doc, e.id, e.unread = c.storedAccount(ctx, issuer)
	var found []error
	for _, f := range []*Finding{e.profile(), e.binding(), e.terms(c.accounts)} {
		if f != nil {
			found = append(found, c.struck(f))
		}
	}
	return found
}

// directoryExam is one issuer before its CA's directory.
type directoryExam struct {
	issuer *spec.Issuer
	meta   meta
	doing  string
	doc    map[string]string // of the account; nil where there is none yet
	id     string            // of doc
	unread error             // why doc is not known
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
	if !e.meta.EAB || e.issuer.EAB != nil || e.doc[fieldURL] != "" {
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
func (e *directoryExam) terms(store AccountStore) *Finding {
	now, agreed := e.meta.Terms, e.doc[fieldTerms]
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
	if p, ok := store.(labeled); ok {
		if command := p.SetCommand(e.id, fieldTerms, now); command != "" {
			advice += "; to end this warning: " + command
		}
	}
	return e.finding(SeverityWarning, "terms of service", "the CA's terms of service are at "+shown+" now; the account was made under those at "+clipTo(200, text.Line(agreed)), advice)
}

// labeled is an AccountStore that can say how one field of a document is set.
type labeled interface {
	// SetCommand is a command line for a person, with the value quoted for a shell;
	// "" where that cannot be done.
	SetCommand(id, field, value string) string
}
