package reconcile

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"certroll/spec"
)

// CRLSource fetches certificate revocation lists (RFC 5280 section 5). It bounds
// time and size, and connects only where certroll.hcl allows.
type CRLSource interface {
	CRL(ctx context.Context, url string) (der []byte, err error)
}

// Revoked says that a CRL which the issuer signed lists what is live.
type Revoked struct {
	Serial string    `json:"serial"`
	At     time.Time `json:"at"`   // when the CA revoked it
	Code   int       `json:"code"` // RFC 5280 section 5.3.1; 0: the CA does not say why
	CRL    string    `json:"crl"`  // where it was read
	SeenAt time.Time `json:"seen_at"`
}

// of is the entry where it speaks of l, else nil.
func (v *Revoked) of(l *Live) *Revoked {
	if v == nil || l == nil || v.Serial != l.Serial {
		return nil
	}
	return v
}

// keyCompromise is the reason code of RFC 5280 section 5.3.1 that says so.
const keyCompromise = 1

// removeFromCRL is the reason code of RFC 5280 section 5.3.1 that ends a revocation
// that was for a while.
const removeFromCRL = 8

// compromised tells that the key is known to others, and must not be used again.
func (v *Revoked) compromised() bool { return v != nil && v.Code == keyCompromise }

// why is the reason in the RFC's word; "" where the CA does not say it.
func (v *Revoked) why() string {
	words := map[int]string{1: "keyCompromise", 2: "cACompromise", 3: "affiliationChanged", 4: "superseded", 5: "cessationOfOperation", 6: "certificateHold", 9: "privilegeWithdrawn", 10: "aACompromise"}
	return words[v.Code]
}

func (v *Revoked) text() string {
	text := "the CA revoked serial " + v.Serial + " on " + v.At.UTC().Format(time.RFC3339)
	if why := v.why(); why != "" {
		text += " (" + why + ")"
	}
	return text + ", as its CRL " + v.CRL + " says"
}

const (
	// crlTime bounds all that is fetched in one go, crlAtOnce how many lists; the rest
	// has its turn the next time. Lists are large: few are held side by side.
	crlTime     = 30 * time.Second
	crlAtOnce   = 100
	crlParallel = 2
	// A list is read once a day, and again after an hour where that failed.
	crlEvery    = day
	crlNoAnswer = time.Hour
	// backfillAtOnce is how many secrets are read in one go for what earlier
	// versions did not note of their chain.
	backfillAtOnce = 50
)

// crlMoment is the name under which it is kept when a list may be read again.
func crlMoment(url string) string { return "crl " + url }

// crlPoints are the certificates whose revocation can be looked up, by the list
// that would have them.
func crlPoints(desired *spec.Spec, obs *Observed) map[string][]listed {
	points := map[string][]listed{}
	for _, c := range desired.Certificates {
		if r, l := watchedLive(c, obs); l != nil && l.CRL != "" && l.IssuerKey != "" {
			points[l.CRL] = append(points[l.CRL], listed{c, r, l})
		}
	}
	return points
}

// listed is a certificate that a list may have.
type listed struct {
	spec   *spec.Certificate
	record *Record
	live   *Live
}

// watchedLive is what is live of a certificate whose record speaks of it; nil where
// it is not readable or not known.
func watchedLive(c *spec.Certificate, obs *Observed) (*Record, *Live) {
	r := obs.Records[c.Name]
	if !r.holds() {
		return nil, nil
	}
	s := obs.Secrets[Location{r.Live.Mount, r.Live.Path}]
	if s.Live == nil || s.Owner != c.Name || s.Live.Serial != r.Live.Serial || !s.Readable {
		return nil, nil
	}
	return r, s.Live.withFacts(r.Live)
}

// lookUp reads the lists whose time has come, and notes what they say of what is
// live. A list that cannot be had says nothing, and is read again within an hour.
func (r *Reconciler) lookUp(ctx context.Context, desired *spec.Spec, obs *Observed) error {
	if r.opts.CRLs == nil {
		return nil
	}
	points := crlPoints(desired, obs)
	var due []string
	for url := range points {
		if r.asks.askDue(crlMoment(url), r.opts.Now()) {
			due = append(due, url)
		}
	}
	if len(due) == 0 {
		return nil
	}
	slices.SortFunc(due, func(a, b string) int {
		if byTime := r.asks.at(crlMoment(a)).Compare(r.asks.at(crlMoment(b))); byTime != 0 {
			return byTime
		}
		return strings.Compare(a, b)
	})
	due = due[:min(len(due), crlAtOnce)]
	limited, cancel := context.WithTimeout(ctx, crlTime)
	defer cancel()
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(crlParallel)
	for _, url := range due {
		g.Go(func() error {
			if limited.Err() != nil {
				return nil // its turn is the next one
			}
			found, err := r.readCRL(limited, url, points[url])
			now := r.opts.Now()
			if err != nil {
				if ctx.Err() == nil {
					r.asks.set(crlMoment(url), now.Add(crlNoAnswer))
					r.opts.Progress(points[url][0].spec.Name, "crl", "could not check its revocation; certroll retries within an hour: "+firstLine(message(err)))
				}
				return nil
			}
			r.asks.set(crlMoment(url), now.Add(crlEvery-jitter(url, 0, crlEvery/10)))
			mu.Lock()
			defer mu.Unlock()
			return r.noteListed(points[url], found, obs)
		})
	}
	return errors.Join(g.Wait(), r.asks.save())
}

// readCRL reads one list, and returns the entries of those that may be on it, by
// serial. Only what the issuer of a certificate signed counts for it.
func (r *Reconciler) readCRL(ctx context.Context, url string, of []listed) (map[string]*Revoked, error) {
	der, err := r.opts.CRLs.CRL(ctx, url)
	if err != nil {
		return nil, err
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("the CRL %s cannot be read: %w", url, err)
	}
	now := r.opts.Now()
	if list.ThisUpdate.After(now.Add(maxSkew)) {
		return nil, fmt.Errorf("the CRL %s is dated %s, in the future: check this machine's clock", url, list.ThisUpdate.UTC().Format(time.RFC3339))
	}
	wanted := map[string]bool{}
	signed := map[string]error{} // by key
	for _, c := range of {
		why, seen := signed[c.live.IssuerKey]
		if !seen {
			why = signedBy(c.live.IssuerKey, list)
			signed[c.live.IssuerKey] = why
		}
		if why == nil {
			wanted[c.live.Serial] = true
		} else if len(of) == 1 || len(signed) == 1 {
			err = fmt.Errorf("the CRL %s is not signed by the issuer of %s: %w", url, c.spec.Name, why)
		}
	}
	if len(wanted) == 0 {
		return nil, err
	}
	found := map[string]*Revoked{}
	for i := range list.RevokedCertificateEntries {
		e := &list.RevokedCertificateEntries[i]
		if e.ReasonCode == removeFromCRL {
			continue
		}
		if serial := hex.EncodeToString(e.SerialNumber.Bytes()); wanted[serial] {
			found[serial] = &Revoked{Serial: serial, At: e.RevocationTime.UTC(), Code: e.ReasonCode, CRL: url, SeenAt: now.UTC().Truncate(time.Second)}
		}
	}
	if len(found) < len(wanted) && !list.NextUpdate.IsZero() && list.NextUpdate.Before(now) {
		// What it lists is revoked all the same; what it does not list may be.
		return found, nil
	}
	for serial := range wanted {
		if found[serial] == nil {
			found[serial] = nil // known not to be on it
		}
	}
	return found, nil
}

// signedBy tells why a list is not signed by an issuer's key.
func signedBy(key string, list *x509.RevocationList) error {
	pub, err := issuerKey(key)
	if err != nil {
		return err
	}
	issuer := &x509.Certificate{PublicKey: pub}
	return issuer.CheckSignature(list.SignatureAlgorithm, list.RawTBSRevocationList, list.Signature)
}

// issuerKey reads an issuer's key as records and metadata keep it.
func issuerKey(text string) (pub any, err error) {
	der, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		pub, err = x509.ParsePKIXPublicKey(der)
	}
	if err != nil {
		return nil, fmt.Errorf("the kept key of the issuer cannot be read: %w", err)
	}
	return pub, nil
}

// noteListed tells the ledger what is new: that something is revoked, or that a
// list no longer says so. found has nil for what is known not to be on the list.
func (r *Reconciler) noteListed(of []listed, found map[string]*Revoked, obs *Observed) error {
	for _, c := range of {
		now, known := found[c.live.Serial]
		was := c.record.Revoked.of(c.live)
		if !known || (now == nil) == (was == nil) && (now == nil || now.Code == was.Code) {
			continue
		}
		if !r.crew.ask(c.spec.Name, obs.turn) {
			r.asks.set(crlMoment(c.live.CRL), r.opts.Now().Add(crlNoAnswer)) // it is at work: read again after it
			continue
		}
		err := r.noteRevoked(c, now, was, obs)
		r.crew.answered(c.spec.Name, err == nil)
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Reconciler) noteRevoked(c listed, now, was *Revoked, obs *Observed) error {
	at := r.opts.Now()
	record := *c.record
	record.Revoked, record.UpdatedAt = now, record.next(at)
	e := Event{
		Schema: EventSchema, Time: at.UTC().Truncate(time.Millisecond), Operation: KindNote, Certificate: c.spec.Name,
		Status: Failed, Severity: SeverityPage, Reason: ReasonRevoked, Actor: "schedule", Cause: "schedule",
		OldSerial: c.live.Serial, Issuer: c.live.Issuer, VaultPath: c.live.Mount + "/" + c.live.Path, VaultVer: c.live.Version,
	}
	switch {
	case now == nil:
		e.Status, e.Severity = Success, ""
		e.Detail = "the CRL " + was.CRL + " no longer lists serial " + was.Serial
	case renewsAt(c.spec, at):
		e.Message, e.Detail = now.text(), "clients that look it up refuse it; it is renewed now"
	default:
		e.Message, e.Detail = now.text(), "clients that look it up refuse it, and renewal.auto is off: rotate it"
	}
	e.ID = eventID("revoked", e.Certificate, c.live.Serial, string(e.Status), fmt.Sprint(now != nil && now.compromised()), at.UTC().Format(time.DateOnly))
	if err := r.scribe.note(entry{Event: e, Record: &record}); err != nil {
		return err
	}
	obs.Records[c.spec.Name] = &record
	return nil
}

// ruleRevoked: the CA revoked what is live, by a list that its issuer signed.
//
// One that took the place of a revoked certificate is left alone for a tenth of its
// life, as by renewal information: a CA whose lists are wrong is not followed into a
// loop. That is known by RevokedBefore, which its record keeps.
func ruleRevoked(s *situation) (Action, bool) {
	l := s.live()
	if l == nil || !s.auto {
		return Action{}, false
	}
	at := s.renewsRevoked()
	if at.IsZero() || at.After(s.now) {
		return Action{}, false
	}
	v := s.record.Revoked
	a := Action{Kind: KindRenew, Reason: ReasonRevoked, Detail: v.text()}
	if v.compromised() && s.spec.Key.Rotation == spec.RotateNever {
		a.Detail += "; key.rotation is \"never\", and the key is rotated once all the same"
	}
	return a, true
}

// replaceRevoked notes, once another certificate is live than the old record says,
// whether it took the place of a revoked one.
func (r *Record) replaceRevoked(old *Record, l *Live) {
	if old == nil || old.Live == nil || l == nil || l.Serial == old.Live.Serial {
		return
	}
	r.Revoked, r.RevokedBefore = nil, ""
	if v := old.Revoked.of(old.Live); v != nil {
		r.RevokedBefore = v.Serial
	}
}

// renewsRevoked is when what is live is renewed as it was revoked; zero where it was
// not.
func (s *situation) renewsRevoked() time.Time {
	l := s.live()
	if s.record == nil || s.record.Revoked.of(l) == nil {
		return time.Time{}
	}
	if s.record.RevokedBefore == "" {
		return l.IssuedAt
	}
	return l.IssuedAt.Add(l.Lifetime() / leastBefore)
}

func sawRevoked(s *situation) string {
	if s.record == nil || s.record.Revoked.of(s.live()) == nil {
		return "no CRL of its issuer that certroll read lists it"
	}
	return s.record.Revoked.text()
}

// isCompromised tells that a draft, which an earlier run left, has that key.
func (a *attempt) isCompromised(d *draft) bool {
	return a.compromised() && d.KeyDigest == a.action.Secret.Live.KeyDigest
}

// compromised tells that the live key was revoked as known to others.
func (a *attempt) compromised() bool {
	r := a.action.Record
	return r != nil && r.Revoked.of(a.action.Secret.Live).compromised()
}
