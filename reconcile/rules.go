package reconcile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"certroll/spec"
)

// situation is one certificate, as desired and as it is there.
type situation struct {
	accountDead bool // the issuer's ACME account is known to be refused
	desired     *spec.Spec
	spec        *spec.Certificate
	issuer      *spec.Issuer // that would be asked now
	failing     time.Time    // since when the preferred one fails; zero where that one is asked
	record      *Record      // nil: the ledger knows nothing
	at          Location
	secret      Secret            // at that place
	pending     *Pending          // nil: there is none
	next        *Staged           // nil: no next key is staged
	former      string            // the name that it goes on from, see goesOnFrom; "": none
	tried       *Record           // what a move that failed has left under its own name; nil: none failed
	formerBusy  string            // a former name under which an attempt is under way; "": none
	notItsOwn   string            // a former name whose record is under other policies; "": none
	moved       bool              // the spec's target is elsewhere and not written yet
	target      Secret            // where moved: what is at the spec's target
	auto        bool              // renewal.auto, or its pause is over
	said        *RenewalInfo      // what the CA said last; nil: nothing
	longerChain bool              // the CA has given a newer certificate a chain that lasts longer
	unreadable  string            // why what is there cannot be looked at; "": it can
	credentials map[string]string // the versions of the DNS accounts' credentials, as far as they are known
	now         time.Time
	leftGone    bool // something that the record says was left behind is there no more
	leftThere   bool // and something is
	renewal     *due // see due
}

// due is when what is live is renewed by itself.
func (s *situation) due() due {
	if s.renewal == nil {
		d := dueOf(s.spec, s.live(), s.said)
		s.renewal = &d
	}
	return *s.renewal
}

// live is what certroll knows of the pair in Vault; nil where it knows nothing.
func (s *situation) live() *Live {
	if s.secret.Owner != s.spec.Name {
		return nil
	}
	return s.secret.Live
}

// rule looks at one situation and says what to do, or that it is not its
// business.
type rule struct {
	name   string
	decide func(*situation) (Action, bool)
	saw    func(*situation) string // the values it looked at, for explain
}

// rules in the order they are asked; each is right whatever stands before it,
// the order only says which reason is told where several hold.
var rules = []rule{
	{"unreadable", ruleUnreadable, sawSecret},
	{"renamed", ruleRenamed, sawFormer},
	{"left alone", ruleLeftAlone, sawVersion},
	{"missing", ruleMissing, sawSecret},
	{"unfinished", ruleUnfinished, sawPending},
	{"foreign", ruleForeign, sawOwner},
	{"drifted", ruleDrifted, sawVersion},
	{"next key", ruleNext, sawNext},
	{"rotate", ruleRotate, sawRotate},
	{"changed", ruleChanged, sawShape},
	{"revoked", ruleRevoked, sawRevoked},
	{"due", ruleDue, sawDue},
	{"key age", ruleKeyAge, sawKeyAge},
	{"record", ruleBehind, sawRecord},
	{"revocation", ruleRevocation, sawRevocation},
	{"unmanaged", ruleUnmanaged, sawAuto},
	{"chain", ruleChainEnds, sawDue},
	{"up to date", ruleUpToDate, sawDue},
}

// ruleUnreadable: nobody knows what is there, which is not that nothing is.
func ruleUnreadable(s *situation) (Action, bool) {
	if s.unreadable == "" {
		return Action{}, false
	}
	return Action{Kind: KindHold, Wants: KindNone, Reason: ReasonUnreadable, NotBefore: s.now.Add(leastWait).UTC(),
		Detail: s.unreadable, HeldBy: unreadableSubject}, true
}

// ruleMissing: nothing can be read where the pair should be.
func ruleMissing(s *situation) (Action, bool) {
	if s.unreadable != "" || s.leftAlone() {
		return Action{}, false
	}
	if r := s.record; s.secret.Version == 0 && r.holds() && s.at == (Location{r.Live.Mount, r.Live.Path}) {
		return Action{Kind: KindIssue, Reason: ReasonDeleted,
			Detail: fmt.Sprintf("%s is gone with all its versions; certroll wrote version %d of it for the certificate of %s", s.at, r.Live.Version, stampOf(r.Live.IssuedAt))}, true
	}
	if s.secret.Version == 0 {
		return Action{Kind: KindIssue, Reason: ReasonMissing,
			Detail: "there is no secret at " + s.at.String() + " yet"}, true
	}
	if !s.secret.Readable {
		return Action{Kind: KindIssue, Reason: ReasonDeleted,
			Detail: fmt.Sprintf("version %d of %s was deleted", s.secret.Version, s.at)}, true
	}
	return Action{}, false
}

// ruleUnfinished: an earlier run wrote the pair and ended before it had told so.
//
// Only the version that follows the one it saw can be its own.
func ruleUnfinished(s *situation) (Action, bool) {
	if !s.begun() {
		return Action{}, false
	}
	if l := s.live(); l != nil && l.KeyDigest == s.pending.KeyDigest && !s.secret.Behind() {
		return Action{Kind: KindRepair, Reason: ReasonUnfinished,
			Detail: "an earlier run ended after it had written " + s.at.String() + "; its record is completed"}, true
	}
	if s.live() == nil || s.secret.Behind() {
		return Action{Kind: KindRepair, Reason: ReasonUnfinished,
			Detail: "an earlier run ended while it wrote " + s.at.String() + "; it is finished, with no new order"}, true
	}
	return Action{}, false
}

// ruleForeign: a readable secret that certroll did not write for this certificate.
func ruleForeign(s *situation) (Action, bool) {
	if s.secret.Version == 0 || s.live() != nil || s.leftAlone() || s.renames() {
		return Action{}, false
	}
	whose := "certroll did not write it"
	if s.secret.Owner != "" {
		whose = fmt.Sprintf("it belonged to certificate %q", s.secret.Owner)
	}
	return Action{Kind: KindAdopt, Reason: ReasonForeign,
		Detail: fmt.Sprintf("a secret is already at %s (%s); it is adopted if its pair fits the spec, and never overwritten if not", s.at, whose)}, true
}

// ruleDrifted: somebody wrote a version after ours.
func ruleDrifted(s *situation) (Action, bool) {
	l := s.live()
	if l == nil || !s.auto || !s.secret.Behind() {
		return Action{}, false
	}
	return Action{Kind: KindRepair, Reason: ReasonDrifted,
		Detail: fmt.Sprintf("version %d of %s was not written by certroll, which wrote version %d; a sound pair of its issuer is taken over, anything else is replaced by certroll's version",
			s.secret.Version, s.at, l.Version)}, true
}

// ruleRotate: the spec carries a rotation request not seen before.
func ruleRotate(s *situation) (Action, bool) {
	if s.live() == nil || !s.asksRotation() {
		return Action{}, false
	}
	return Action{Kind: KindRotate, Reason: ReasonRotate, Detail: s.spec.Rotate}, true
}

// asksRotation tells that the spec asks for a rotation that was not done yet.
func (s *situation) asksRotation() bool {
	l := s.live()
	return s.spec.Rotate != "" && (l == nil || !l.Satisfies(s.spec.Rotate)) && !s.record.Rotated(s.spec.Rotate)
}

// ruleUnmanaged: the owner said not to touch it.
func ruleUnmanaged(s *situation) (Action, bool) {
	l := s.live()
	if l == nil && s.leftAlone() {
		l = s.record.Live
	}
	if l == nil || s.auto {
		return Action{}, false
	}
	a := Action{Kind: KindNone, Reason: ReasonUnmanaged, Detail: "renewal.auto is off" + pauseText(s.spec) + "; it expires " + l.End().UTC().Format(time.DateOnly)}
	if s.leftAlone() {
		a.Detail += "; " + s.leftText()
	}
	if until := s.spec.Renewal.Until; !until.IsZero() {
		a.NotBefore = until
	}
	return a, true
}

// pauseText is why and until when the renewal is off, as far as it is stated.
func pauseText(c *spec.Certificate) string {
	var b strings.Builder
	if u := c.Renewal.Until; !u.IsZero() {
		b.WriteString(" " + spec.EndText(u))
	}
	if c.Renewal.Reason != "" {
		b.WriteString(" (" + c.Renewal.Reason + ")")
	}
	return b.String()
}

// ruleChanged: the spec asks for a certificate other than the one that is live.
func ruleChanged(s *situation) (Action, bool) {
	changes := changesOf(s)
	if len(changes) == 0 || !s.auto {
		return Action{}, false
	}
	said := make([]string, len(changes))
	for i, c := range changes {
		said[i] = fmt.Sprintf("%s from %q to %q", c.Field, c.Old, c.New)
	}
	return Action{Kind: KindReissue, Reason: ReasonChanged, Changes: changes,
		Detail: "the spec changed " + strings.Join(said, ", ")}, true
}

// ruleDue: its time has come.
func ruleDue(s *situation) (Action, bool) {
	l := s.live()
	if l == nil || !s.auto {
		return Action{}, false
	}
	a := Action{Kind: KindRenew}
	switch d := s.due(); {
	case !l.renewalEnd().After(s.now):
		a.Reason, a.Detail = ReasonExpired, "it expired "+l.renewalEnd().UTC().Format(time.RFC3339)
		if l.renewalEnd().Before(l.NotAfter) {
			a.Detail = "its chain ended " + l.renewalEnd().UTC().Format(time.RFC3339) + ", before the certificate itself"
		}
	case s.dueByChain():
		a.Reason = ReasonThreshold
		a.Detail = fmt.Sprintf("its chain ends %s, before the certificate, and the CA gives newer certificates one that lasts longer", l.End().UTC().Format(time.DateOnly))
	case !d.at.After(s.now):
		a.Reason = d.reason
		a.Detail = fmt.Sprintf("it expires %s, %s left: %s", l.renewalEnd().UTC().Format(time.DateOnly), days(l.renewalEnd().Sub(s.now)), d.detail)
	default:
		return Action{}, false
	}
	if !s.spec.Renewal.Auto {
		a.Detail += "; its pause" + pauseText(s.spec) + " is over"
	}
	if i := fallenBack(s.desired, s.spec, l); i != nil {
		a.Detail += fmt.Sprintf("; what is live is from issuer.%s, this one is asked from issuer.%s", i.Name, s.issuer.Name)
	}
	return a, true
}

// ruleKeyAge: the key is as old as it may become, though renewals keep it.
func ruleKeyAge(s *situation) (Action, bool) {
	l := s.live()
	if l == nil || !s.auto || s.spec.Key.MaxAge == 0 || s.now.Before(l.KeySince.Add(s.spec.Key.MaxAge)) {
		return Action{}, false
	}
	return Action{Kind: KindRotate, Reason: ReasonKeyAge,
		Detail: fmt.Sprintf("its key is from %s and key.max_age is %s", l.KeySince.UTC().Format(time.DateOnly), days(s.spec.Key.MaxAge))}, true
}

// ruleRevocation: the one before the last rotation was to be revoked, and that
// did not work at once.
func ruleRevocation(s *situation) (Action, bool) {
	if s.live() == nil || s.record == nil || len(s.record.Revocations) == 0 {
		return Action{}, false
	}
	return Action{Kind: KindRevoke, Reason: ReasonRevocation,
		Detail: "serial " + s.record.Revocations[0].Serial + " was replaced and is to be revoked"}, true
}

// ruleUpToDate: nothing to do until it is due.
func ruleUpToDate(s *situation) (Action, bool) {
	l := s.live()
	if l == nil {
		return Action{}, false
	}
	d := s.due()
	a := Action{Kind: KindNone, Reason: ReasonUpToDate, NotBefore: d.at, Detail: "it is due " + d.at.Format(time.DateOnly) + ", " + d.detail}
	if again := s.renewsRevoked(); !again.IsZero() && again.Before(a.NotBefore) {
		a.NotBefore = again
		a.Detail = s.record.Revoked.text() + ", and the one before it was revoked too: it is renewed again " + again.Format(time.RFC3339)
	}
	if age := s.spec.Key.MaxAge; age > 0 && l.KeySince.Add(age).Before(a.NotBefore) {
		a.NotBefore = l.KeySince.Add(age)
		a.Detail = "its key is rotated " + a.NotBefore.UTC().Format(time.DateOnly) + ", by key.max_age"
	}
	return a, true
}

// changesOf lists the fields that need another certificate. DNS account,
// Vault path, fields, labels and threshold are not among them: those are used
// from the next renewal on.
func changesOf(s *situation) []Change {
	l := s.live()
	if l == nil {
		return nil
	}
	var cs []Change
	if d := namesDigest(s.spec.Names()); d != l.NamesDigest {
		cs = append(cs, Change{"domains", oldNames(s, l), strings.Join(s.spec.Names(), " ")})
	}
	if shape := shapeOf(s.spec.Key, l.KeyShape); shape != l.KeyShape {
		cs = append(cs, Change{"key", l.KeyShape, shape})
	}
	if fallenBack(s.desired, s.spec, l) != nil {
		return cs // it goes back to the preferred issuer with the next renewal
	}
	wanted := s.desired.Issuers[s.spec.Issuer]
	if wanted.Directory != l.Directory {
		cs = append(cs, Change{"issuer", l.Issuer + " (" + l.Directory + ")", wanted.Name + " (" + wanted.Directory + ")"})
	}
	if wanted.Profile != l.Profile {
		cs = append(cs, Change{"profile", l.Profile, wanted.Profile})
	}
	return cs
}

// oldNames says what the names were; only the record holds them in full.
func oldNames(s *situation, l *Live) string {
	if s.record != nil && s.record.Live != nil && s.record.Live.Serial == l.Serial && len(s.record.Live.Names) > 0 {
		return strings.Join(s.record.Live.Names, " ")
	}
	return "(other names, digest " + l.NamesDigest[:min(12, len(l.NamesDigest))] + ")"
}

// specDigest identifies what the spec says that an attempt depends on: the
// certificate, its issuer and its DNS accounts.
func specDigest(desired *spec.Spec, c *spec.Certificate) string {
	h := sha256.New()
	put := func(parts ...string) {
		for _, part := range parts {
			_, _ = h.Write([]byte(part + "\x00"))
		}
	}
	put(strings.Join(c.Names(), " "), strings.Join(c.DNS, " "), string(c.Key.Algorithm), c.Key.Curve, strconv.Itoa(c.Key.Size),
		string(c.Key.Rotation), c.Key.MaxAge.String(), c.Rotate, c.Vault.Mount, c.Vault.Path, c.Vault.Fields.Digest())
	if c.Key.Next {
		put("key.next") // where it is off, the digests of before it was known stand
	}
	for _, i := range issuersOf(desired, c) {
		if i == nil {
			continue
		}
		put(i.Name, i.Directory, i.Profile, i.Email, i.CABundle, i.PreferredChain)
		if i.Account != "" {
			put("account = " + i.Account)
		}
		if !i.AgreeTOS {
			put("terms_of_service_agreed = false") // where they are agreed to, the digests of before it was known stand
		}
		if i.EAB != nil {
			put(valueText(i.EAB.KeyID), valueText(i.EAB.HMAC))
		}
	}
	for _, name := range c.DNS {
		if a := desired.DNS[name]; a != nil {
			put(a.Name, string(a.Challenge), a.Provider, a.Listen, a.Webroot, fmt.Sprint(a.FollowCNAME, a.Propagation))
			if len(a.Zones) > 0 {
				put("zones = " + strings.Join(a.Zones, " "))
			}
			for _, v := range slices.Sorted(maps.Keys(a.Credentials)) {
				put(v, valueText(a.Credentials[v]))
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// valueText is a value as it is written, not what it refers to.
func valueText(v spec.Value) string {
	return strings.Join([]string{string(v.Source), v.Text, v.Path, v.Field, v.Name}, "\x1f")
}
