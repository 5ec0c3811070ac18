package reconcile

import (
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"time"

	"certroll/reconcile/keypair"
	"certroll/spec"
	"certroll/spec/text"
)

// Serving says how what an endpoint serves stands to what is live.
type Serving string

// The servings, the worst first.
const (
	ServesExpired     Serving = "expired"           // what is served has expired
	ServesOther       Serving = "other_certificate" // it is none of certroll's
	ServesStale       Serving = "stale"             // it is an earlier one, and nobody waits for that any more
	ServesIncomplete  Serving = "incomplete_chain"  // it is the right one, without its issuer's
	ServesUnreachable Serving = "unreachable"       // nobody answered
	ServesDenied      Serving = "denied"            // certroll.hcl does not allow to look
	ServesWaiting     Serving = "waiting"           // it is not the right one yet
	ServesUnissued    Serving = "unissued"          // there is none in Vault to hold it against
	ServesCurrent     Serving = "current"
)

var servings = []Serving{
	ServesExpired, ServesOther, ServesStale, ServesIncomplete, ServesUnreachable, ServesDenied, ServesWaiting, ServesUnissued, ServesCurrent,
}

func (s Serving) rank() int { return slices.Index(servings, s) }

// Problem tells whether somebody has to do something.
func (s Serving) Problem() bool { return s.rank() < ServesWaiting.rank() }

// class is the class of the problem: the same word.
func (s Serving) class() Class { return Class(s) }

// Look is what was seen at one endpoint.
type Look struct {
	Certificate string     `json:"certificate"`
	Endpoint    string     `json:"endpoint"`
	Verdict     Serving    `json:"verdict"`
	Message     string     `json:"message"`   // one sentence; "" where it is current
	Advice      string     `json:"advice"`    // what to do, or ""
	Address     string     `json:"address"`   // that it was seen at; "" where nobody answered
	Serial      string     `json:"serial"`    // of what is served; "" where nobody answered
	NotAfter    *time.Time `json:"not_after"` // of what is served; null where nobody answered
	At          time.Time  `json:"looked_at"`
}

// awaited is what an endpoint is held against.
type awaited struct {
	certificate *spec.Certificate
	probe       spec.Probe
	live        *Live
	since       time.Time     // from when on live is there
	after       time.Duration // how long its consumer may take
}

// judge holds what the addresses of an endpoint serve, leaf first, against what
// is live: the worst of them counts.
//
//	live      ├── 6 ──┤── 7 ──────────────────────
//	served    6 ......├ waiting ┤ stale ...
//	                  └─ after ─┘
func judge(w awaited, served map[string][]*x509.Certificate, now time.Time) Look {
	var worst Look
	for _, address := range slices.Sorted(maps.Keys(served)) {
		l := judgeOne(w, served[address], len(served) > 1, address, now)
		if worst.Verdict == "" || l.Verdict.rank() < worst.Verdict.rank() {
			worst = l
		}
	}
	return worst
}

// endsFirst is the certificate by which what is served ends: of a chain that
// nobody can put in order it is the leaf.
func endsFirst(chain []*x509.Certificate, now time.Time) *x509.Certificate {
	path, err := keypair.Tidy(chain, chain[0].PublicKey, now)
	if err != nil {
		return chain[0]
	}
	return keypair.EndsFirst(path)
}

func judgeOne(w awaited, chain []*x509.Certificate, oneOfMany bool, address string, now time.Time) Look {
	leaf := chain[0]
	last := endsFirst(chain, now)
	notAfter := last.NotAfter.UTC()
	l := Look{Certificate: w.certificate.Name, Endpoint: w.probe.Endpoint(), Address: address, Serial: serialOf(leaf), NotAfter: &notAfter, At: now.UTC()}
	where := l.Endpoint
	if oneOfMany {
		where += " at " + address
	}
	current := l.Serial == w.live.Serial && publicKeyDigest(leaf) == w.live.KeyDigest
	inVault := fmt.Sprintf("serial %s (version %d of %s/%s)", w.live.Serial, w.live.Version, w.live.Mount, w.live.Path)
	switch {
	case current && lacksIssuer(chain):
		l.Verdict = ServesIncomplete
		l.Message = fmt.Sprintf("%s serves serial %s as it should, and without its issuer's certificate: clients that do not know that one refuse it", where, l.Serial)
		l.Advice = "have the consumer use the leaf and its chain, as in the field fullchain"
	case current && last != leaf && notAfter.Before(now):
		l.Verdict = ServesExpired
		l.Message = fmt.Sprintf("%s serves serial %s as it should, and with it the certificate of %q, which expired %s: clients refuse the chain",
			where, l.Serial, clipped(last.Subject.CommonName, 80), stampOf(notAfter))
		l.Advice = "have the CA send another chain (preferred_chain), or use another issuer"
	case current:
		l.Verdict = ServesCurrent
	case leaf.NotAfter.Before(now):
		l.Verdict = ServesExpired
		l.Message = fmt.Sprintf("%s serves serial %s, which expired %s; in Vault is %s, valid until %s", where, l.Serial, stampOf(leaf.NotAfter), inVault, stampOf(w.live.End()))
		l.Advice = reloads
	case isEarlier(w, leaf):
		l.Verdict = ServesStale
		l.Message = fmt.Sprintf("%s serves serial %s, valid since %s, which was replaced %s by %s", where, l.Serial, stampOf(leaf.NotBefore), stampOf(w.since), inVault)
		l.Advice = reloads
	default:
		l.Verdict = ServesOther
		l.Message = fmt.Sprintf("%s serves serial %s of %q for %s, which is not certroll's; in Vault since %s is %s",
			where, l.Serial, clipped(leaf.Issuer.CommonName, 80), clipped(orNone(text.Some(NamesOf(leaf), 3)), 300), stampOf(w.since), inVault)
		l.Advice = "have the consumer use the certificate in Vault, or take the endpoint out of probe"
	}
	if until := w.since.Add(w.after); (l.Verdict == ServesStale || l.Verdict == ServesOther) && now.Before(until) {
		l.Verdict, l.Advice = ServesWaiting, ""
		l.Message += "; until " + stampOf(until) + " that is waited for"
	}
	return l
}

const reloads = "see that the consumer fetches the secret and reloads"

// isEarlier tells whether a certificate is one of those that the live one
// replaced: it is for one of its names or its key, and not younger. Which ones
// there were is not written down where it could be looked up for ever.
func isEarlier(w awaited, leaf *x509.Certificate) bool {
	if leaf.NotBefore.After(w.live.NotBefore) {
		return false
	}
	names := NamesOf(leaf)
	return publicKeyDigest(leaf) == w.live.KeyDigest || namesDigest(names) == w.live.NamesDigest ||
		slices.ContainsFunc(w.certificate.Names(), func(n string) bool { return slices.Contains(names, n) })
}

// lacksIssuer tells whether a leaf came alone although it says where its
// issuer's certificate is to be had (RFC 5280 section 4.2.2.1): CAs say so
// where that is no root that everybody has.
func lacksIssuer(chain []*x509.Certificate) bool {
	return len(chain) == 1 && len(chain[0].IssuingCertificateURL) > 0
}

// unseen is the look at an endpoint where nobody answered.
func unseen(w awaited, err error, now time.Time) Look {
	l := Look{
		Certificate: w.certificate.Name, Endpoint: w.probe.Endpoint(), At: now.UTC(),
		Verdict: ServesUnreachable, Message: clipped(message(err), 500), Advice: "see that it can be reached from where certroll runs, or take it out of probe",
	}
	if isDenied(err) {
		l.Verdict, l.Advice = ServesDenied, "have probe.allow in certroll.hcl name the range of its addresses, or take it out of probe"
	}
	return l
}

// publicKeyDigest is the digest of a certificate's key; "" for a kind of key
// that is none of ours.
func publicKeyDigest(leaf *x509.Certificate) string {
	digest, err := keyDigest(leaf.PublicKey)
	if err != nil {
		return ""
	}
	return digest
}
