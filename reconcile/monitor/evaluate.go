package monitor

import (
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/text"
)

// Verdict is the result of comparing a served certificate with the live one: one of
// ledger.ServedClasses for a problem, else one of the words below. It is about one endpoint.
// A certificate's state not_served comes from the open problem in the ledger.
type Verdict string

// The verdicts that are no problem.
const (
	VerdictWaiting  Verdict = "waiting"  // not the live certificate, within the consumer's time to reload
	VerdictUnissued Verdict = "unissued" // Vault has no certificate to compare with
	VerdictCurrent  Verdict = "current"
)

// Class returns the class of the problem, which is the same word.
func (v Verdict) Class() ledger.Class { return ledger.Class(v) }

// Problem reports whether a person has to act.
func (v Verdict) Problem() bool { return slices.Contains(ledger.ServedClasses, v.Class()) }

// rank returns the place of a verdict in the order worst first.
func (v Verdict) rank() int {
	if v.Problem() {
		return slices.Index(ledger.ServedClasses, v.Class())
	}
	return len(ledger.ServedClasses) + slices.Index([]Verdict{VerdictWaiting, VerdictUnissued, VerdictCurrent}, v)
}

// Result is the outcome of one probe.
type Result struct {
	Certificate string     `json:"certificate"`
	Endpoint    string     `json:"endpoint"`
	Verdict     Verdict    `json:"verdict"`
	Message     string     `json:"message"`   // one sentence; "" if the live certificate is served
	Advice      string     `json:"advice"`    // how to fix it, or ""
	Address     string     `json:"address"`   // address that served it; "" without an answer
	Serial      string     `json:"serial"`    // of the served certificate; "" without an answer
	NotAfter    *time.Time `json:"not_after"` // of the served certificate; null without an answer
	At          time.Time  `json:"looked_at"`
}

// Expectation is the certificate that an endpoint should serve.
type Expectation struct {
	Certificate *spec.Certificate
	Probe       spec.Probe
	Live        *ledger.Live
	Since       time.Time     // since when Live is the live one
	After       time.Duration // time that the consumer has to load it
}

// Evaluate compares the chains that an endpoint's addresses serve, leaf first, with the
// live certificate. The worst result counts.
//
//	live      ├── 6 ──┤── 7 ──────────────────────
//	served    6 ......├ waiting ┤ stale ...
//	                  └─ after ─┘
func Evaluate(w Expectation, served map[string][]*x509.Certificate, now time.Time) Result {
	var worst Result
	for _, address := range slices.Sorted(maps.Keys(served)) {
		l := evaluateOne(w, served[address], len(served) > 1, address, now)
		if worst.Verdict == "" || l.Verdict.rank() < worst.Verdict.rank() {
			worst = l
		}
	}
	return worst
}

// endsFirst returns the certificate of a chain that expires first, or the leaf if the
// chain cannot be sorted.
func endsFirst(chain []*x509.Certificate, now time.Time) *x509.Certificate {
	path, err := keypair.Tidy(chain, chain[0].PublicKey, now)
	if err != nil {
		return chain[0]
	}
	return keypair.EndsFirst(path)
}

// evaluateOne compares the chain of one address with the live certificate.
func evaluateOne(w Expectation, chain []*x509.Certificate, oneOfMany bool, address string, now time.Time) Result {
	leaf := chain[0]
	last := endsFirst(chain, now)
	notAfter := last.NotAfter.UTC()
	l := Result{Certificate: w.Certificate.Name, Endpoint: w.Probe.Endpoint(), Address: address, Serial: keypair.SerialOf(leaf), NotAfter: &notAfter, At: now.UTC()}
	where := l.Endpoint
	if oneOfMany {
		where += " at " + address
	}
	// The key too, because serials are unique only per issuer (RFC 5280 section 4.1.2.2).
	current := l.Serial == w.Live.Serial && keypair.PublicKeyDigest(leaf) == w.Live.KeyDigest
	inVault := fmt.Sprintf("serial %s (version %d of %s/%s)", w.Live.Serial, w.Live.Version, w.Live.Mount, w.Live.Path)
	switch {
	case current && lacksIssuer(chain):
		l.Verdict = Verdict(ledger.ClassIncomplete)
		l.Message = fmt.Sprintf("%s serves serial %s, the right one, but without its issuer's certificate: clients that lack the issuer's certificate reject the chain", where, l.Serial)
		l.Advice = "configure the server to send the leaf and its chain, as in the field fullchain"
	case current && last != leaf && notAfter.Before(now):
		l.Verdict = Verdict(ledger.ClassExpired)
		l.Message = fmt.Sprintf("%s serves serial %s, the right one, but with the certificate of %q in its chain, which expired %s: clients reject the chain",
			where, l.Serial, text.Clipped(last.Subject.CommonName, 80), text.Stamp(notAfter))
		l.Advice = "set preferred_chain to another chain of the CA, or use another issuer"
	case current:
		l.Verdict = VerdictCurrent
	case leaf.NotAfter.Before(now):
		l.Verdict = Verdict(ledger.ClassExpired)
		l.Message = fmt.Sprintf("%s serves serial %s, which expired %s; Vault has %s, valid until %s", where, l.Serial, text.Stamp(leaf.NotAfter), inVault, text.Stamp(w.Live.End()))
		l.Advice = Reloads
	case isEarlier(w, leaf):
		l.Verdict = Verdict(ledger.ClassStale)
		l.Message = fmt.Sprintf("%s serves serial %s, valid since %s, which was replaced %s by %s", where, l.Serial, text.Stamp(leaf.NotBefore), text.Stamp(w.Since), inVault)
		l.Advice = Reloads
	default:
		l.Verdict = Verdict(ledger.ClassOther)
		l.Message = fmt.Sprintf("%s serves serial %s of %q for %s, which is not certroll's; Vault has %s since %s",
			where, l.Serial, text.Clipped(leaf.Issuer.CommonName, 80), text.Clipped(text.OrNone(text.Some(keypair.NamesOf(leaf), 3)), 300), inVault, text.Stamp(w.Since))
		l.Advice = "configure the server to use the certificate in Vault, or remove the endpoint from probe"
	}
	// Within the consumer's time an earlier certificate is expected.
	if until := w.Since.Add(w.After); (l.Verdict.Class() == ledger.ClassStale || l.Verdict.Class() == ledger.ClassOther) && now.Before(until) {
		l.Verdict, l.Advice = VerdictWaiting, ""
		l.Message += "; the server has until " + text.Stamp(until) + " to load the new one"
	}
	return l
}

// Reloads is the advice for a consumer that serves an earlier certificate.
const Reloads = "check that the consumer fetches the secret and reloads"

// isEarlier reports whether the live certificate replaced a served one: the served one
// shares a name or the key, and is not younger. There is no list of earlier certificates
// to consult.
func isEarlier(w Expectation, leaf *x509.Certificate) bool {
	if leaf.NotBefore.After(w.Live.NotBefore) {
		return false
	}
	names := keypair.NamesOf(leaf)
	return keypair.PublicKeyDigest(leaf) == w.Live.KeyDigest || keypair.NamesDigest(names) == w.Live.NamesDigest ||
		slices.ContainsFunc(w.Certificate.Names(), func(n string) bool { return slices.Contains(names, n) })
}

// lacksIssuer reports whether a leaf came alone although it names its issuer's
// certificate (caIssuers, RFC 5280 section 4.2.2.1). A CA names an intermediate there,
// which clients do not have, so that the chain is incomplete.
func lacksIssuer(chain []*x509.Certificate) bool {
	return len(chain) == 1 && len(chain[0].IssuingCertificateURL) > 0
}

// Unseen returns the result of a probe without an answer.
func Unseen(w Expectation, err error, now time.Time) Result {
	l := Result{
		Certificate: w.Certificate.Name, Endpoint: w.Probe.Endpoint(), At: now.UTC(),
		Verdict: Verdict(ledger.ClassUnreachable), Message: text.Clipped(failure.Message(err), 500), Advice: "check that certroll's machine can reach it, or remove it from probe",
	}
	if isDenied(err) {
		l.Verdict, l.Advice = Verdict(ledger.ClassDenied), "add the range of its addresses to probe.allow in certroll.hcl, or remove it from probe"
	}
	return l
}
