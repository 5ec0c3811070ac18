package apply

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"certroll/reconcile/attempt"
	"certroll/reconcile/failure"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/throttle"
	"certroll/reconcile/times"
	"certroll/spec"
	"certroll/spec/text"
)

// RemoveFromCRL is the reason code (RFC 5280 section 5.3.1) that ends a certificateHold.
const RemoveFromCRL = 8

const (
	// crlTime bounds the fetches of one pass, and crlAtOnce the number of lists; the rest
	// follows in the next pass. CRLs can be large, so few are in memory at a time.
	crlTime     = 30 * time.Second
	crlAtOnce   = 100
	crlParallel = 2
	// certroll reads a CRL once a day. It retries one that leaves certificates unchecked
	// after an hour, and after a day of that once a day: each try may load 10 MiB.
	crlEvery    = times.Day
	crlNoAnswer = time.Hour
	// backfillAtOnce bounds the secrets that one pass reads for their chains.
	backfillAtOnce = 50
)

// crlMoment is the key under which Asks stores the next fetch of a CRL.
func crlMoment(url string) string { return "crl " + url }

// crlSince is the key under which Asks stores since when a CRL leaves certificates
// unchecked; a zero time: it does not.
func crlSince(url string) string { return "crl-since " + url }

// crlAgain returns the wait before the next fetch of a CRL, and its text.
func (r *Reconciler) crlAgain(url string, unchecked bool) (wait time.Duration, within string) {
	since, now := r.Asks.At(crlSince(url)), r.Opts.Now()
	switch {
	case !unchecked:
		if !since.IsZero() {
			r.Asks.Set(crlSince(url), time.Time{})
		}
	case since.IsZero() || since.After(now): // a time in the future comes from a fast clock
		r.Asks.Set(crlSince(url), now)
		return crlNoAnswer, "an hour"
	case now.Sub(since) < crlEvery:
		return crlNoAnswer, "an hour"
	}
	// Earlier by a fixed part per URL, so that the CRLs do not all come due at once.
	return crlEvery - throttle.Jitter(url, 0, crlEvery/10), "a day"
}

// crlPoints returns the certificates whose revocation can be checked, by the URL of the
// CRL (the distribution point, RFC 5280 section 4.2.1.13).
func crlPoints(desired *spec.Spec, obs *plan.Observed) map[string][]listed {
	points := map[string][]listed{}
	for _, c := range desired.Certificates {
		if r, l := watchedLive(c, obs); l != nil && l.CRL != "" && l.IssuerKey != "" {
			points[l.CRL] = append(points[l.CRL], listed{c, r, l})
		}
	}
	return points
}

// listed is a certificate that a CRL covers.
type listed struct {
	spec   *spec.Certificate
	record *ledger.Record
	live   *ledger.Live
}

// watchedLive returns the record and the live pair of a certificate; nil if Vault cannot
// be read or the record describes another pair.
func watchedLive(c *spec.Certificate, obs *plan.Observed) (*ledger.Record, *ledger.Live) {
	r := obs.Records[c.Name]
	if !r.HasSecret() {
		return nil, nil
	}
	s := obs.Secrets[ledger.Location{Mount: r.Live.Mount, Path: r.Live.Path}]
	if s.Live == nil || s.Owner != c.Name || s.Live.Serial != r.Live.Serial || !s.Readable {
		return nil, nil
	}
	return r, s.Live.WithFacts(r.Live)
}

// lookUp reads the CRLs that are due and records their news about live certificates. A
// CRL that cannot be fetched proves nothing; lookUp reports it and retries, see crlAgain.
func (r *Reconciler) lookUp(ctx context.Context, desired *spec.Spec, obs *plan.Observed) error {
	if r.Opts.CRLs == nil {
		return nil
	}
	points := crlPoints(desired, obs)
	var due []string
	for url := range points {
		if r.Asks.AskDue(crlMoment(url), r.Opts.Now()) {
			due = append(due, url)
		}
	}
	if len(due) == 0 {
		return nil
	}
	// The longest waiting first, because crlAtOnce may cut the list.
	slices.SortFunc(due, func(a, b string) int {
		if byTime := r.Asks.At(crlMoment(a)).Compare(r.Asks.At(crlMoment(b))); byTime != 0 {
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
				return nil // left to the next pass
			}
			found, unchecked := r.readCRL(limited, url, points[url])
			if ctx.Err() != nil {
				return nil
			}
			again, within := r.crlAgain(url, len(unchecked) > 0)
			for _, u := range unchecked {
				r.Opts.Progress(u.Certificates[0].Name, "crl", "could not check its revocation; certroll retries within "+within+": "+text.FirstLine(failure.Message(u.Err)))
			}
			r.Asks.Set(crlMoment(url), r.Opts.Now().Add(again))
			mu.Lock()
			defer mu.Unlock()
			return r.noteListed(points[url], found, obs)
		})
	}
	return errors.Join(g.Wait(), r.Asks.Save())
}

// Unchecked are certificates whose revocation a CRL does not prove either way.
type Unchecked struct {
	CRL          string // its URL
	Certificates []*spec.Certificate
	Err          error // why: it names the CRL and, where they are known, the issuer and the time
}

// readCRL reads one CRL. It returns an entry for each certificate of the list that is
// revoked, and nil for each that is not. For a certificate, only a CRL counts that the
// certificate's own issuer key signed. Indirect CRLs are therefore ignored.
func (r *Reconciler) readCRL(ctx context.Context, url string, of []listed) (map[string]*ledger.Revoked, []Unchecked) {
	list, err := r.fetchCRL(ctx, url)
	if err != nil {
		return nil, []Unchecked{uncheckedBy(url, of, err)}
	}
	signed, unchecked := signedFor(url, list, of)
	found := listedIn(url, list, signed, r.Opts.Now())
	if list.NextUpdate.IsZero() || !list.NextUpdate.Before(r.Opts.Now()) {
		for _, c := range signed {
			if found[c.live.Serial] == nil {
				found[c.live.Serial] = nil // valid
			}
		}
		return found, unchecked
	}
	// An expired CRL proves the revocations that it lists, but not that others are valid.
	for _, group := range byIssuerKey(slices.DeleteFunc(signed, func(c listed) bool { return found[c.live.Serial] != nil })) {
		unchecked = append(unchecked, uncheckedBy(url, group, fmt.Errorf("the CRL %s of issuer.%s expired at %s; it proves nothing since then about %s",
			url, group[0].live.Issuer, list.NextUpdate.UTC().Format(time.RFC3339), text.Some(specNames(group), 3))))
	}
	return found, unchecked
}

// CheckCRLs reads the CRLs of the recorded certificates and returns what they leave
// unchecked, sorted by URL. It records nothing.
func (r *Reconciler) CheckCRLs(ctx context.Context, certificates []*spec.Certificate, records map[string]*ledger.Record) []Unchecked {
	if r.Opts.CRLs == nil {
		return nil
	}
	points := map[string][]listed{}
	for _, c := range certificates {
		if rec := records[c.Name]; rec.HasSecret() && rec.Live.CRL != "" && rec.Live.IssuerKey != "" {
			points[rec.Live.CRL] = append(points[rec.Live.CRL], listed{c, rec, rec.Live})
		}
	}
	urls := slices.Sorted(maps.Keys(points))
	urls = urls[:min(len(urls), crlAtOnce)]
	unchecked := make([][]Unchecked, len(urls))
	limited, cancel := context.WithTimeout(ctx, crlTime)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(crlParallel)
	for i, url := range urls {
		g.Go(func() error {
			if limited.Err() == nil {
				_, found := r.readCRL(limited, url, points[url])
				if limited.Err() == nil { // else the time was over, which says nothing of the CRL
					unchecked[i] = found
				}
			}
			return nil
		})
	}
	_ = g.Wait() // the goroutines return none
	return slices.Concat(unchecked...)
}

// fetchCRL fetches and decodes one CRL.
func (r *Reconciler) fetchCRL(ctx context.Context, url string) (*x509.RevocationList, error) {
	der, err := r.Opts.CRLs.CRL(ctx, url)
	if err != nil {
		return nil, err
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("the CRL %s cannot be read: %w", url, err)
	}
	// A CRL from the future means a wrong clock, by which no expiry can be judged.
	if list.ThisUpdate.After(r.Opts.Now().Add(keypair.MaxSkew)) {
		return nil, fmt.Errorf("the CRL %s is dated %s, in the future: check this machine's clock", url, list.ThisUpdate.UTC().Format(time.RFC3339))
	}
	return list, nil
}

// signedFor returns the certificates whose issuer's key signed the CRL, and the others by
// issuer key.
func signedFor(url string, list *x509.RevocationList, of []listed) (signed []listed, unchecked []Unchecked) {
	for _, group := range byIssuerKey(of) {
		why := signedBy(group[0].live.IssuerKey, list)
		if why == nil {
			signed = append(signed, group...)
			continue
		}
		unchecked = append(unchecked, uncheckedBy(url, group, fmt.Errorf("the CRL %s, dated %s, is not signed by the key that issuer.%s signed %s with: %w",
			url, list.ThisUpdate.UTC().Format(time.RFC3339), group[0].live.Issuer, text.Some(specNames(group), 3), why)))
	}
	return signed, unchecked
}

// byIssuerKey groups certificates by the key that signed them, in their order.
func byIssuerKey(of []listed) (groups [][]listed) {
	index := map[string]int{}
	for _, c := range of {
		i, ok := index[c.live.IssuerKey]
		if !ok {
			i = len(groups)
			index[c.live.IssuerKey] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], c)
	}
	return groups
}

func uncheckedBy(url string, of []listed, why error) Unchecked {
	u := Unchecked{CRL: url, Err: why}
	for _, c := range of {
		u.Certificates = append(u.Certificates, c.spec)
	}
	return u
}

func specNames(of []listed) (names []string) {
	for _, c := range of {
		names = append(names, c.spec.Name)
	}
	return names
}

// listedIn returns the entries of the CRL about the certificates, by serial.
func listedIn(url string, list *x509.RevocationList, of []listed, now time.Time) map[string]*ledger.Revoked {
	wanted := map[string]bool{}
	for _, c := range of {
		wanted[c.live.Serial] = true
	}
	found := map[string]*ledger.Revoked{}
	for i := range list.RevokedCertificateEntries {
		e := &list.RevokedCertificateEntries[i]
		// The entry ends a hold: the certificate is valid again.
		if e.ReasonCode == RemoveFromCRL {
			continue
		}
		if serial := hex.EncodeToString(e.SerialNumber.Bytes()); wanted[serial] {
			found[serial] = &ledger.Revoked{Serial: serial, At: e.RevocationTime.UTC(), Code: e.ReasonCode, CRL: url, SeenAt: now.UTC().Truncate(time.Second)}
		}
	}
	return found
}

// signedBy returns why a CRL is not signed by an issuer's key, or nil.
func signedBy(key string, list *x509.RevocationList) error {
	pub, err := attempt.IssuerKey(key)
	if err != nil {
		return err
	}
	issuer := &x509.Certificate{PublicKey: pub}
	return issuer.CheckSignature(list.SignatureAlgorithm, list.RawTBSRevocationList, list.Signature)
}

// noteListed records changes: a new revocation, or the end of one. found has nil for a
// certificate that is not on the list, and no entry if that is unknown.
func (r *Reconciler) noteListed(of []listed, found map[string]*ledger.Revoked, obs *plan.Observed) error {
	for _, c := range of {
		now, known := found[c.live.Serial]
		was := c.record.Revoked.Of(c.live)
		if !known || (now == nil) == (was == nil) && (now == nil || now.Code == was.Code) {
			continue
		}
		if !r.Crew.ask(c.spec.Name, obs.Turn) {
			r.Asks.Set(crlMoment(c.live.CRL), r.Opts.Now().Add(crlNoAnswer)) // it is running; check after the attempt
			continue
		}
		err := r.noteRevoked(c, now, was, obs)
		r.Crew.answered(c.spec.Name, err == nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// noteRevoked writes the event and record of a revocation that began or ended.
func (r *Reconciler) noteRevoked(c listed, now, was *ledger.Revoked, obs *plan.Observed) error {
	at := r.Opts.Now()
	record := *c.record
	record.Revoked, record.UpdatedAt = now, record.Next(at)
	e := ledger.Event{
		Schema: ledger.EventSchema, Time: at.UTC().Truncate(time.Millisecond), Operation: ledger.KindNote, Certificate: c.spec.Name,
		Status: ledger.Failed, Severity: ledger.SeverityPage, Reason: ledger.ReasonRevoked, Actor: "schedule", Cause: "schedule",
		OldSerial: c.live.Serial, Issuer: c.live.Issuer, VaultPath: c.live.Mount + "/" + c.live.Path, VaultVer: c.live.Version,
	}
	switch {
	case now == nil:
		e.Status, e.Severity = ledger.Success, ""
		e.Detail = "the CRL " + was.CRL + " no longer lists serial " + was.Serial
	case plan.RenewsAt(c.spec, at):
		e.Message, e.Detail = now.Text(), "clients that look it up refuse it; it is renewed now"
	default:
		e.Message, e.Detail = now.Text(), "clients that look it up refuse it, and renewal.auto is off: rotate it"
	}
	e.ID = ledger.EventID("revoked", e.Certificate, c.live.Serial, string(e.Status), fmt.Sprint(now != nil && now.Compromised()), at.UTC().Format(time.DateOnly))
	if err := r.Writer.Note(ledger.Entry{Event: e, Record: &record}); err != nil {
		return err
	}
	obs.Records[c.spec.Name] = &record
	return nil
}
