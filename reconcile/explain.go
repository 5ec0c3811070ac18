package reconcile

import (
	"fmt"
	"strings"
	"time"

	"certroll/spec"

	"certroll/spec/text"
)

// Verdict is what one rule made of a certificate.
type Verdict struct {
	Rule   string
	Saw    string // the values it looked at
	Hit    bool   // it would decide; the first that hits does
	Kind   Kind   // where it hit
	Reason Reason
	Detail string
}

// Explain asks every rule about one certificate, in their order. It is a pure
// function like Plan, whose action for the certificate it explains; false
// where the spec has no such certificate.
func Explain(desired *spec.Spec, observed *Observed, now time.Time, name string) ([]Verdict, bool) {
	c := desired.Certificate(name)
	if c == nil {
		return nil, false
	}
	s := newCase(desired, c, observed, known(desired, observed, credible(observed.History, now)), now)
	s.longerChain = s.live() != nil && longerChain(newestChains(observed.Records), s.live())
	verdicts := make([]Verdict, len(rules))
	for i, r := range rules {
		a, hit := r.decide(s)
		verdicts[i] = Verdict{Rule: r.name, Saw: r.saw(s), Hit: hit, Kind: a.Kind, Reason: a.Reason, Detail: a.Detail}
	}
	return verdicts, true
}

func sawSecret(s *situation) string {
	switch {
	case s.unreadable != "":
		return s.at.String() + " cannot be looked at"
	case s.secret.Version == 0:
		return s.at.String() + " was never written"
	case !s.secret.Readable:
		return fmt.Sprintf("%s, version %d is deleted", s.at, s.secret.Version)
	default:
		return fmt.Sprintf("%s, version %d", s.at, s.secret.Version)
	}
}

func sawPending(s *situation) string {
	if s.pending == nil {
		return "no pending secret"
	}
	if s.pending.Stray {
		return "a pending secret without metadata, which reached Vault late"
	}
	return fmt.Sprintf("a pending secret that follows version %d", s.pending.Follows)
}

func sawOwner(s *situation) string {
	if s.secret.Owner == "" {
		return "the metadata names no certificate"
	}
	return fmt.Sprintf("the metadata names certificate %q", s.secret.Owner)
}

func sawVersion(s *situation) string {
	l := s.live()
	if l == nil {
		return "nothing of certroll's is there"
	}
	return fmt.Sprintf("version %d, certroll wrote version %d", s.secret.Version, l.Version)
}

func sawRotate(s *situation) string {
	l := s.live()
	switch {
	case s.spec.Rotate == "":
		return "no rotation is asked for"
	case l == nil:
		return fmt.Sprintf("rotate = %q, nothing is live", s.spec.Rotate)
	default:
		return fmt.Sprintf("rotate = %q, the live one was made for %q", s.spec.Rotate, l.Rotate)
	}
}

func sawShape(s *situation) string {
	l := s.live()
	if l == nil {
		return "nothing is live"
	}
	return fmt.Sprintf("%s, key %s, issuer %s, profile %q; live: names digest %.12s, key %s, issuer %s, profile %q",
		text.Counted(len(s.spec.Domains), "name"), shapeOf(s.spec.Key, l.KeyShape), s.spec.Issuer, s.desired.Issuers[s.spec.Issuer].Profile,
		l.NamesDigest, l.KeyShape, l.Issuer, l.Profile)
}

func sawDue(s *situation) string {
	l := s.live()
	if l == nil {
		return "nothing is live"
	}
	threshold, _ := renewAt(s.spec, l)
	seen := []string{
		"now " + s.now.UTC().Format(time.RFC3339), "expires " + l.End().UTC().Format(time.RFC3339),
		"threshold reached " + threshold.Format(time.RFC3339),
	}
	if l.chainEndsFirst() {
		seen[1] += " by its chain, the certificate itself " + l.NotAfter.UTC().Format(time.RFC3339)
	}
	if i := s.said.of(l); i != nil {
		seen = append(seen, fmt.Sprintf("the CA suggests %s to %s, chosen %s",
			i.Start.UTC().Format(time.RFC3339), i.End.UTC().Format(time.RFC3339), i.RenewAt.UTC().Format(time.RFC3339)))
	} else {
		seen = append(seen, "the CA suggests nothing")
	}
	return strings.Join(append(seen, "renewal.auto "+onOff(s.auto)), ", ")
}

func sawKeyAge(s *situation) string {
	l := s.live()
	switch {
	case l == nil:
		return "nothing is live"
	case s.spec.Key.MaxAge == 0:
		return "key of " + l.KeySince.UTC().Format(time.DateOnly) + ", no key.max_age"
	default:
		return "key of " + l.KeySince.UTC().Format(time.DateOnly) + ", key.max_age " + days(s.spec.Key.MaxAge)
	}
}

func sawRevocation(s *situation) string {
	if s.record == nil || len(s.record.Revocations) == 0 {
		return "none waits"
	}
	return "serial " + s.record.Revocations[0].Serial + " waits to be revoked"
}

func sawRecord(s *situation) string {
	if s.record == nil {
		return "the ledger has no record"
	}
	return fmt.Sprintf("state %s, written %s", s.record.State, s.record.UpdatedAt.UTC().Format(time.RFC3339))
}

func sawAuto(s *situation) string {
	return "renewal.auto " + onOff(s.spec.Renewal.Auto) + pauseText(s.spec)
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}
