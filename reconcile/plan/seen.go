package plan

import (
	"fmt"
	"strings"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
	"certroll/spec/text"
)

// The functions below render the values that a rule read, one sentence for explain. They read
// the same fields of the situation as their rule, and decide nothing.

// sawSecret renders the presence of the secret.
func sawSecret(s *Situation) string {
	switch {
	case s.unreadable != "":
		return s.at.String() + " cannot be read"
	case s.secret.Version == 0:
		return s.at.String() + " was never written"
	case !s.secret.Readable:
		return fmt.Sprintf("%s, version %d is deleted", s.at, s.secret.Version)
	default:
		return fmt.Sprintf("%s, version %d", s.at, s.secret.Version)
	}
}

// sawPending renders the pending secret.
func sawPending(s *Situation) string {
	if s.pending == nil {
		return "no pending secret"
	}
	if s.pending.Stray {
		return "a pending secret without metadata, which reached Vault late"
	}
	return fmt.Sprintf("a pending secret that follows version %d", s.pending.Follows)
}

// sawOwner renders the certificate that the metadata names.
func sawOwner(s *Situation) string {
	if s.secret.Owner == "" {
		return "the metadata names no certificate"
	}
	return fmt.Sprintf("the metadata names certificate %q", s.secret.Owner)
}

// sawVersion renders the current version and that of the metadata. They differ after a write
// of another program.
func sawVersion(s *Situation) string {
	l := s.live()
	if l == nil {
		return "nothing of certroll's is there"
	}
	return fmt.Sprintf("version %d, certroll wrote version %d", s.secret.Version, l.Version)
}

// sawRotate renders the rotation request and the last satisfied one.
func sawRotate(s *Situation) string {
	l := s.live()
	switch {
	case s.Spec.Rotate == "":
		return "no rotation is asked for"
	case l == nil:
		return fmt.Sprintf("rotate = %q, nothing is live", s.Spec.Rotate)
	default:
		return fmt.Sprintf("rotate = %q, the live one was made for %q", s.Spec.Rotate, l.Rotate)
	}
}

// sawShape renders the fields that changesOf compares.
func sawShape(s *Situation) string {
	l := s.live()
	if l == nil {
		return "nothing is live"
	}
	return fmt.Sprintf("%s, key %s, issuer %s, profile %q; live: %s, names digest %.12s, key %s, issuer %s, profile %q",
		text.Counted(len(s.Spec.Names()), "name"), keypair.ShapeOf(s.Spec.Key, l.KeyShape), s.Spec.Issuer, s.desired.Issuers[s.Spec.Issuer].Profile,
		countLive(s, l), l.NamesDigest, l.KeyShape, l.Issuer, l.Profile)
}

// countLive renders the number of live names. Metadata has only their digest.
func countLive(s *Situation, l *ledger.Live) string {
	switch names := recordedNames(s, l); {
	case len(names) > 0:
		return text.Counted(len(names), "name")
	case l.NamesDigest == keypair.NamesDigest(s.Spec.Names()):
		return text.Counted(len(s.Spec.Names()), "name")
	default:
		return "other names"
	}
}

// sawDue renders the times that decide on a renewal: now, expiry, threshold and the window of
// the CA (RFC 9773).
func sawDue(s *Situation) string {
	l := s.live()
	if l == nil {
		return "nothing is live"
	}
	threshold, _ := RenewAt(s.Spec, l)
	seen := []string{
		"now " + s.Now.UTC().Format(time.RFC3339), "expires " + l.End().UTC().Format(time.RFC3339),
		"threshold reached " + threshold.Format(time.RFC3339),
	}
	if l.ChainEndsFirst() {
		seen[1] += " by its chain, the certificate itself " + l.NotAfter.UTC().Format(time.RFC3339)
	}
	if i := s.said.Of(l); i != nil {
		seen = append(seen, fmt.Sprintf("the CA suggests %s to %s, chosen %s",
			i.Start.UTC().Format(time.RFC3339), i.End.UTC().Format(time.RFC3339), i.RenewAt.UTC().Format(time.RFC3339)))
	} else {
		seen = append(seen, "the CA suggests nothing")
	}
	return strings.Join(append(seen, "renewal.auto "+OnOff(s.auto)), ", ")
}

// sawKeyAge renders the age of the key and its limit.
func sawKeyAge(s *Situation) string {
	l := s.live()
	switch {
	case l == nil:
		return "nothing is live"
	case s.Spec.Key.MaxAge == 0:
		return "key of " + l.KeySince.UTC().Format(time.DateOnly) + ", no key.max_age"
	default:
		return "key of " + l.KeySince.UTC().Format(time.DateOnly) + ", key.max_age " + times.Days(s.Spec.Key.MaxAge)
	}
}

// sawRevocation renders the first revocation that waits.
func sawRevocation(s *Situation) string {
	if s.record == nil || len(s.record.Revocations) == 0 {
		return "none waits"
	}
	return "serial " + s.record.Revocations[0].Serial + " waits to be revoked"
}

// sawRecord renders the state of the record.
func sawRecord(s *Situation) string {
	if s.record == nil {
		return "the ledger has no record"
	}
	return fmt.Sprintf("state %s, written %s", s.record.State, s.record.UpdatedAt.UTC().Format(time.RFC3339))
}

// sawAuto renders renewal.auto and its pause.
func sawAuto(s *Situation) string {
	return "renewal.auto " + OnOff(s.Spec.Renewal.Auto) + PauseText(s.Spec)
}
