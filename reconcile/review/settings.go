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

// Effect says when a setting that was changed takes effect.
type Effect string

// The moments at which a setting takes effect.
const (
	EffectAction  Effect = "action"       // with the action that this change brings about
	EffectAtOnce  Effect = "at_once"      // with the next apply, and nothing is ordered
	EffectRenewal Effect = "next_renewal" // with the next renewal
	EffectResumed Effect = "when_resumed" // when renewal.auto is on again
)

// Setting is one setting that a change alters.
type Setting struct {
	Field    string
	Old, New string // as a person reads it; "" where it was, or is, left out
	Effect   Effect // "" for a block that is no certificate
}

// settings is a list of fields with their texts, in the order they are told.
type settings []struct{ field, text string }

func (s *settings) put(field, text string) {
	*s = append(*s, struct{ field, text string }{field, text})
}

// differ lists the fields whose texts differ; one that is in one list alone is
// left out in the other.
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

// The fields that more than one place speaks of.
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

// certificateSettings are a certificate's, as they are compared and told.
func certificateSettings(c *spec.Certificate) settings {
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

// FieldsText is a preset's name, or the beginning of the digest of expressions.
func FieldsText(f spec.Fields) string {
	if d, ok := strings.CutPrefix(f.Digest(), "sha256:"); ok {
		return "expressions, digest " + d[:shownDigest]
	}
	return f.Digest()
}

// shownDigest is how much of a digest stands for a text in a comparison: so
// much that nobody finds another text for it, which would hide a change.
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

// effectOf says when a changed setting of a certificate takes effect, by what
// the plan does with it.
func effectOf(field string, after *plan.Action) Effect {
	orders := after.Kind.Orders() || after.Kind == ledger.KindHold && after.Wants.Orders()
	top, _, _ := strings.Cut(field, ".")
	switch {
	case top == "labels" || field == fieldOnRemove || field == fieldProbe || field == fieldNext || field == "file" || strings.HasPrefix(field, "renewal."):
		return EffectAtOnce
	case orders:
		return EffectAction
	case field == fieldDomains && keypair.NamesDigest(after.Spec.Names()) == digestOf(after.Secret.Live):
		return EffectAtOnce // their order alone
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

// issuerSettings and accountSettings tell values as they are written: of a
// credential that is the reference, which is never followed for it.
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

// reference is a value as its file has it.
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

// TextDigest stands for a long text.
func TextDigest(text string) string {
	if text == "" {
		return ""
	}
	return "digest " + keypair.NamesDigest([]string{text})[:shownDigest]
}
