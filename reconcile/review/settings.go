package review

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
)

// Effect is the time from which a changed setting takes effect.
type Effect string

// The effects of settings.
const (
	EffectAction  Effect = "action"       // with the action that this change causes
	EffectAtOnce  Effect = "at_once"      // with the next apply, without an order
	EffectRenewal Effect = "next_renewal" // with the next renewal
	EffectResumed Effect = "when_resumed" // when renewal.auto is on again
)

// Setting is one setting that a change alters.
type Setting struct {
	Field    string
	Old, New string // in readable form; "": not stated
	Effect   Effect // "" for a setting of an issuer or dns block
}

// settings is a list of fields with their values, in the order of the review.
type settings []struct{ field, text string }

func (s *settings) put(field, text string) {
	*s = append(*s, struct{ field, text string }{field, text})
}

// differ returns the fields whose values differ. A field missing in one list counts as not
// stated there.
func differ(old, now settings) []Setting {
	was := make(map[string]string, len(old))
	for _, s := range old {
		was[s.field] = s.text
	}
	var list []Setting
	seen := make(map[string]bool, len(now))
	for _, s := range now {
		seen[s.field] = true
		if s.text != was[s.field] {
			list = append(list, Setting{Field: s.field, Old: was[s.field], New: s.text})
		}
	}
	for _, s := range old {
		if !seen[s.field] && s.text != "" {
			list = append(list, Setting{Field: s.field, Old: s.text})
		}
	}
	return list
}

// The fields that several functions refer to.
const (
	fieldDomains  = "domains"
	fieldIssuer   = "issuer"
	fieldDNS      = "dns"
	fieldKey      = "key"
	fieldRotation = "key.rotation"
	fieldNext     = "key.next"
	fieldAuto     = "renewal.auto"
	fieldOnRemove = "on_remove"
	fieldProbe    = "probe"
	fieldPath     = "vault.path"
	fieldFields   = "vault.fields"
)

// certificateSettings returns the settings of a certificate for the comparison and for the
// reviewer.
func certificateSettings(c *spec.Certificate) settings {
	// As typed: a reviewer compares with the file, where a name may be in Unicode.
	typed := make([]string, len(c.Domains))
	for i, d := range c.Domains {
		typed[i] = d.Typed
	}
	var s settings
	s.put(fieldDomains, strings.Join(typed, " "))
	s.put(fieldIssuer, strings.Join(append([]string{c.Issuer}, c.Fallbacks...), ", "))
	s.put(fieldDNS, strings.Join(c.DNS, ", "))
	s.put(fieldKey, statedShape(c.Key))
	s.put(fieldRotation, string(c.Key.Rotation))
	s.put("key.max_age", span(c.Key.MaxAge))
	// Only if on, the default is off.
	if c.Key.Next {
		s.put(fieldNext, plan.OnOff(true))
	}
	s.put(fieldAuto, plan.OnOff(c.Renewal.Auto))
	s.put("renewal.reason", c.Renewal.Reason)
	s.put("renewal.until", moment(c.Renewal.Until))
	s.put("renewal.threshold", statedThreshold(c.Renewal))
	s.put("renewal.fallback_after", span(c.Renewal.FallbackAfter))
	s.put("rotate", c.Rotate)
	if c.RotateRevoke != nil {
		s.put("rotate.revoke", "CRL reason "+strconv.FormatUint(uint64(c.RotateRevoke.Code), 10))
	}
	s.put(fieldPath, plan.TargetOf(c).String())
	s.put(fieldFields, FieldsText(c.Vault.Fields))
	for _, name := range slices.Sorted(maps.Keys(c.Labels)) {
		s.put("labels."+name, c.Labels[name])
	}
	s.put(fieldOnRemove, string(c.OnRemove))
	s.put(fieldProbe, strings.Join(c.Endpoints(), ", "))
	s.put("file", c.File)
	return s
}

// statedShape returns the key settings as stated. Unlike keypair.ShapeOf it fills in nothing,
// so that a review shows only what the author wrote.
func statedShape(k spec.Key) string {
	switch {
	case k.Curve != "":
		return "ecdsa-" + k.Curve
	case k.Size != 0:
		return "rsa-" + strconv.Itoa(k.Size)
	default:
		return string(k.Algorithm)
	}
}

// statedThreshold returns the renewal threshold as stated; "" for the default.
func statedThreshold(r spec.Renewal) string {
	switch {
	case !r.ThresholdStated:
		return ""
	case r.ThresholdPercent > 0:
		return strconv.Itoa(r.ThresholdPercent) + "%"
	default:
		return strconv.Itoa(r.ThresholdDays) + "d"
	}
}

// FieldsText returns the name of a preset, or the beginning of the digest of expressions.
func FieldsText(f spec.Fields) string {
	if d, ok := strings.CutPrefix(f.Digest(), "sha256:"); ok {
		return "expressions, digest " + d[:shownDigest]
	}
	return f.Digest()
}

// shownDigest is the number of hex digits that stand for a text in a comparison. 128 bits
// are enough that an author cannot find a second text with the same digits and hide a
// change.
const shownDigest = 32

func span(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return times.Days(d)
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// effectOf returns the time from which a changed setting of a certificate takes effect,
// according to the planned action.
func effectOf(field string, after *plan.Action) Effect {
	// An order that waits will use the new settings too.
	orders := after.Kind.Orders() || after.Kind == ledger.KindHold && after.Wants.Orders()
	top, _, _ := strings.Cut(field, ".")
	switch {
	case top == "labels" || field == fieldOnRemove || field == fieldProbe || field == fieldNext || field == "file" || strings.HasPrefix(field, "renewal."):
		return EffectAtOnce
	case orders:
		return EffectAction
	case field == fieldDomains && keypair.NamesDigest(after.Spec.Names()) == digestOf(after.Secret.Live):
		return EffectAtOnce // only the order of the names changed
	case field == fieldDomains || field == fieldKey || field == fieldIssuer:
		if after.Reason == ledger.ReasonUnmanaged || !after.Spec.Renewal.Auto {
			return EffectResumed
		}
	}
	return EffectRenewal
}

func digestOf(l *ledger.Live) string {
	if l == nil {
		return ""
	}
	return l.NamesDigest
}

// issuerSettings returns the settings of an issuer. A credential shows as its reference,
// which review never resolves.
func issuerSettings(i *spec.Issuer) settings {
	var s settings
	s.put("directory", i.Directory)
	s.put("account", i.Account)
	s.put("email", i.Email)
	s.put("profile", i.Profile)
	s.put("preferred_chain", i.PreferredChain)
	s.put("processing_timeout", span(i.Processing))
	s.put("ca_bundle", TextDigest(i.CABundle))
	if i.EAB != nil {
		s.put("eab.key_id", reference(i.EAB.KeyID))
		s.put("eab.hmac", reference(i.EAB.HMAC))
	}
	if l := i.Limits; l != nil {
		s.put("limits", fmt.Sprintf("orders %s, certificates_per_domain %s, exact_set %s, failed_validations %s, consecutive_failures %d",
			limitText(l.Orders), limitText(l.PerDomain), limitText(l.ExactSet), limitText(l.FailedValidations), l.ConsecutiveFailures))
	}
	return s
}

func limitText(l spec.Limit) string {
	if l.Burst == 0 {
		return "none"
	}
	return fmt.Sprintf("%d/%s", l.Burst, times.Days(l.Window))
}

// accountSettings returns the settings of a DNS account. Credentials show as references.
func accountSettings(a *spec.DNSAccount) settings {
	var s settings
	s.put("challenge", string(a.Challenge))
	s.put("provider", a.Provider)
	for _, name := range slices.Sorted(maps.Keys(a.Credentials)) {
		s.put("credentials."+name, reference(a.Credentials[name]))
	}
	s.put("follow_cname", plan.OnOff(a.FollowCNAME))
	s.put("zones", strings.Join(a.Zones, ", "))
	s.put("parallel", strconv.Itoa(a.Parallel))
	s.put("propagation.timeout", span(a.Propagation.Timeout))
	s.put("propagation.interval", durationText(a.Propagation.Interval))
	s.put("propagation.nameservers", strings.Join(a.Propagation.Nameservers, ", "))
	s.put("propagation.wait", durationText(a.Propagation.Wait))
	s.put("listen", a.Listen)
	s.put("webroot", a.Webroot)
	return s
}

func durationText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// reference returns a value as written in the config file.
func reference(v spec.Value) string {
	switch v.Source {
	case spec.FromVault:
		return fmt.Sprintf("vault(%q, %q)", v.Path, v.Field)
	case spec.FromEnv:
		return fmt.Sprintf("env(%q)", v.Name)
	case spec.FromFile:
		return fmt.Sprintf("file(%q)", v.Path)
	default:
		return v.Text
	}
}

// TextDigest returns the digest of a long text, for display.
func TextDigest(text string) string {
	if text == "" {
		return ""
	}
	return "digest " + keypair.NamesDigest([]string{text})[:shownDigest]
}
