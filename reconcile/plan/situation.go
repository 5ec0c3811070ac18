package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/throttle"
	"certroll/spec"
)

// OnOff is a switch in words.
func OnOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// begun tells that an earlier run has written what it was about to, and may
// have ended before it could say so.
func (s *Situation) begun() bool {
	return s.pending != nil && !s.pending.Stray && s.secret.Readable && s.secret.Version == s.pending.Follows+1
}

// heldBy tells whether a hold still stands: it ends by its time, and earlier
// where what may have caused it has changed.
func (s *Situation) heldBy(h *ledger.Hold) bool {
	if h != nil && h.Stands {
		return h.Until.After(s.Now) && !fromTheFuture(s.record, s.Now)
	}
	return holdApplies(h, s.issuer, s.Now) && !fromTheFuture(s.record, s.Now) && h.SpecDigest == SpecDigest(s.desired, s.Spec) && !s.newCredentials(h) &&
		(h.Owner != ledger.OwnerAccount || s.accountDead)
}

// newCredentials tells that the DNS accounts have other credentials than those
// the attempt failed with.
func (s *Situation) newCredentials(h *ledger.Hold) bool {
	switch h.Class {
	case ledger.ClassDNSUnauthorized, ledger.ClassDNSUnavailable, ledger.ClassDNSPropagation, ledger.ClassValidation, ledger.ClassConfig:
		return slices.ContainsFunc(s.Spec.DNS, func(name string) bool { return throttle.OtherCredentials(h.Credentials[name], s.credentials[name]) })
	default:
		return false
	}
}

// Situation is one certificate, as desired and as it is there.
type Situation struct {
	accountDead bool // the issuer's ACME account is known to be refused
	desired     *spec.Spec
	Spec        *spec.Certificate
	issuer      *spec.Issuer   // that would be asked now
	failing     time.Time      // since when the preferred one fails; zero where that one is asked
	record      *ledger.Record // nil: the ledger knows nothing
	at          ledger.Location
	secret      Secret              // at that place
	pending     *Pending            // nil: there is none
	next        *Staged             // nil: no next key is staged
	former      string              // the name that it goes on from, see goesOnFrom; "": none
	tried       *ledger.Record      // what a move that failed has left under its own name; nil: none failed
	formerBusy  string              // a former name under which an attempt is under way; "": none
	notItsOwn   string              // a former name whose record is under other policies; "": none
	moved       bool                // the spec's target is elsewhere and not written yet
	target      Secret              // where moved: what is at the spec's target
	auto        bool                // renewal.auto, or its pause is over
	said        *ledger.RenewalInfo // what the CA said last; nil: nothing
	longerChain bool                // the CA has given a newer certificate a chain that lasts longer
	unreadable  string              // why what is there cannot be looked at; "": it can
	credentials map[string]string   // the versions of the DNS accounts' credentials, as far as they are known
	Now         time.Time
	leftGone    bool // something that the record says was left behind is there no more
	leftThere   bool // and something is
	renewal     *due // see due
}

// due is when what is live is renewed by itself.
func (s *Situation) due() due {
	if s.renewal == nil {
		d := dueOf(s.Spec, s.live(), s.said)
		s.renewal = &d
	}
	return *s.renewal
}

// live is what certroll knows of the pair in Vault; nil where it knows nothing.
func (s *Situation) live() *ledger.Live {
	if s.secret.Owner != s.Spec.Name {
		return nil
	}
	return s.secret.Live
}

// asksRotation tells that the spec asks for a rotation that was not done yet.
func (s *Situation) asksRotation() bool {
	l := s.live()
	return s.Spec.Rotate != "" && (l == nil || !l.Satisfies(s.Spec.Rotate)) && !s.record.Rotated(s.Spec.Rotate)
}

// PauseText is why and until when the renewal is off, as far as it is stated.
func PauseText(c *spec.Certificate) string {
	var b strings.Builder
	if u := c.Renewal.Until; !u.IsZero() {
		b.WriteString(" " + spec.EndText(u))
	}
	if c.Renewal.Reason != "" {
		b.WriteString(" (" + c.Renewal.Reason + ")")
	}
	return b.String()
}

// SpecDigest identifies what the spec says that an attempt depends on: the
// certificate, its issuer and its DNS accounts.
func SpecDigest(desired *spec.Spec, c *spec.Certificate) string {
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
	for _, i := range IssuersOf(desired, c) {
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
			put(throttle.ValueText(i.EAB.KeyID), throttle.ValueText(i.EAB.HMAC))
		}
	}
	for _, name := range c.DNS {
		if a := desired.DNS[name]; a != nil {
			put(a.Name, string(a.Challenge), a.Provider, a.Listen, a.Webroot, fmt.Sprint(a.FollowCNAME, a.Propagation))
			if len(a.Zones) > 0 {
				put("zones = " + strings.Join(a.Zones, " "))
			}
			for _, v := range slices.Sorted(maps.Keys(a.Credentials)) {
				put(v, throttle.ValueText(a.Credentials[v]))
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}
