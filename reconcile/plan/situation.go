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

// OnOff renders a switch as "on" or "off".
func OnOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// begun reports whether an earlier run wrote the secret that its pending secret announces.
// That run may have ended before it recorded the result. Only the version right after the
// one that the run saw can be its own, since each write is a check-and-set write.
func (s *Situation) begun() bool {
	return s.pending != nil && !s.pending.Stray && s.secret.Readable && s.secret.Version == s.pending.Follows+1
}

// heldBy reports whether a hold still stands. A hold ends at its time, and earlier if the
// spec, the issuer, the credentials or the account's state changed, any of which may be the
// cure. A hold with Stands ends only at its time, see ledger.Hold.
func (s *Situation) heldBy(h *ledger.Hold) bool {
	if h != nil && h.Stands {
		return h.Until.After(s.Now) && !fromTheFuture(s.record, s.Now)
	}
	return holdApplies(h, s.issuer, s.Now) && !fromTheFuture(s.record, s.Now) && h.SpecDigest == SpecDigest(s.desired, s.Spec) && !s.newCredentials(h) &&
		(h.Owner != ledger.OwnerAccount || s.accountDead)
}

// newCredentials reports whether a DNS account has other credentials than those that the
// attempt failed with. Only classes that a credential can cause end by a new one.
func (s *Situation) newCredentials(h *ledger.Hold) bool {
	switch h.Class {
	case ledger.ClassDNSUnauthorized, ledger.ClassDNSUnavailable, ledger.ClassDNSPropagation, ledger.ClassValidation, ledger.ClassConfig:
		return slices.ContainsFunc(s.Spec.DNS, func(name string) bool { return throttle.OtherCredentials(h.Credentials[name], s.credentials[name]) })
	default:
		return false
	}
}

// Situation is one certificate, as desired and as observed. Rules read nothing else.
type Situation struct {
	accountDead bool // the CA is known to refuse the issuer's ACME account
	desired     *spec.Spec
	Spec        *spec.Certificate
	issuer      *spec.Issuer   // the issuer to order from now
	failing     time.Time      // since when the preferred issuer fails; zero: it is in use
	record      *ledger.Record // nil: the ledger has no record
	at          ledger.Location
	secret      Secret              // the secret at that location
	pending     *Pending            // nil: no pending secret
	next        *Staged             // nil: no staged key
	former      string              // the former name whose record continues, see goesOnFrom; "": none
	tried       *ledger.Record      // the record that a failed move left under the new name; nil: no move failed
	formerBusy  string              // a former name with an attempt under way; "": none
	notItsOwn   string              // a former name whose record is under other policies; "": none
	moved       bool                // vault.path changed, and certroll has not written there yet
	auto        bool                // renewal.auto is on, or its pause is over
	said        *ledger.RenewalInfo // the CA's last renewal information; nil: none
	longerChain bool                // the CA gave a newer certificate a chain that lasts longer
	unreadable  string              // why certroll cannot read the secrets; "": it can
	credentials map[string]string   // versions of the DNS accounts' credentials, as far as known
	Now         time.Time
	leftGone    bool // a secret in LeftBehind no longer exists
	leftThere   bool // a secret in LeftBehind still exists
	renewal     *due // cache of due
}

// due returns when and why certroll renews the live certificate by itself.
func (s *Situation) due() due {
	if s.renewal == nil {
		d := dueOf(s.Spec, s.live(), s.said)
		s.renewal = &d
	}
	return *s.renewal
}

// live returns certroll's metadata of the pair in Vault; nil if the secret is not this
// certificate's.
func (s *Situation) live() *ledger.Live {
	// Metadata of another certificate at the same path says nothing about this one.
	if s.secret.Owner != s.Spec.Name {
		return nil
	}
	return s.secret.Live
}

// asksRotation reports whether the spec has a rotation request that no rotation satisfied.
func (s *Situation) asksRotation() bool {
	l := s.live()
	return s.Spec.Rotate != "" && (l == nil || !l.Satisfies(s.Spec.Rotate)) && !s.record.Rotated(s.Spec.Rotate)
}

// PauseText says until when and why renewal is off, as far as the spec states it.
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

// SpecDigest identifies the parts of the spec that an attempt depends on: the certificate,
// its issuers and its DNS accounts. A hold ends when the digest changes, so that settings
// added later must not change the digest of a spec without them.
func SpecDigest(desired *spec.Spec, c *spec.Certificate) string {
	h := sha256.New()
	// The zero byte keeps "a b" + "c" apart from "a" + "b c". Hash writes never fail.
	put := func(parts ...string) {
		for _, part := range parts {
			_, _ = h.Write([]byte(part + "\x00"))
		}
	}
	put(strings.Join(c.Names(), " "), strings.Join(c.DNS, " "), string(c.Key.Algorithm), c.Key.Curve, strconv.Itoa(c.Key.Size),
		string(c.Key.Rotation), c.Key.MaxAge.String(), c.Rotate, c.Vault.Mount, c.Vault.Path, c.Vault.Fields.Digest())
	if c.Key.Next {
		put("key.next") // only if on: digests from before key.next stay valid
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
			put("terms_of_service_agreed = false") // only if false: digests from before the setting stay valid
		}
		if i.EAB != nil {
			put(throttle.ValueText(i.EAB.KeyID), throttle.ValueText(i.EAB.HMAC))
		}
	}
	for _, name := range c.DNS {
		if a := desired.DNS[name]; a != nil {
			put(a.Name, string(a.Challenge), a.Provider, a.Listen, a.Webroot, fmt.Sprint(a.FollowCNAME, a.Propagation))
			// Only if stated: digests of specs without zones stay valid.
			if len(a.Zones) > 0 {
				put("zones = " + strings.Join(a.Zones, " "))
			}
			// The reference counts, not the secret: a rotated secret ends the hold by its
			// version, see newCredentials.
			for _, v := range slices.Sorted(maps.Keys(a.Credentials)) {
				put(v, throttle.ValueText(a.Credentials[v]))
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}
