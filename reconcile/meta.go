package reconcile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The keys of a secret's custom metadata. KV v2 allows 64 keys of 128 bytes
// with values of 512 bytes; keys other than these are somebody else's and are
// written back as they were.
const (
	metaManagedBy   = "managed_by"
	metaCertificate = "certificate"
	metaVersion     = "version"
	metaSerial      = "serial"
	metaNotBefore   = "not_before"
	metaNotAfter    = "not_after"
	metaNames       = "names_digest"
	metaKey         = "key_digest"
	metaShape       = "key_shape"
	metaKeySince    = "key_since"
	metaIssuer      = "issuer"
	metaDirectory   = "directory"
	metaProfile     = "profile"
	metaRevision    = "revision"
	metaRotate      = "rotate"
	metaFile        = "file"
	metaIssuedAt    = "issued_at"
	metaARI         = "ari_id"
	metaDNSAccount  = "dns_account"
	metaNextKey     = "next_key_digest"
	metaNextShape   = "next_key_shape"
	metaNextSince   = "next_key_since"
	metaChainOf     = "chain_of" // the serial that the keys of the chain speak of
	metaChainEnd    = "chain_not_after"
	metaChainKept   = "chain_kept"
	metaCRL         = "crl"
	metaIssuerKey   = "issuer_key"
	metaAdopted     = "adopted"
	metaLedger      = "ledger"  // of certroll's own state: whose it is
	metaStarted     = "started" // of a pending secret: when its attempt began; of a staged key: since when it is

	managedBy = "certroll"
)

// maxMeta is how many bytes one value of custom metadata has at most.
const maxMeta = 512

// stateMeta is the custom metadata of a secret of certroll's own state.
func stateMeta(m map[string]string, ledger string) map[string]string {
	m[metaManagedBy] = managedBy
	if ledger != "" {
		m[metaLedger] = ledger
	}
	return m
}

// ours tells whether a secret of certroll's own state is of this ledger.
func (o *Observer) ours(custom map[string]string) bool {
	return o.Ledger != "" && custom[metaManagedBy] == managedBy && custom[metaLedger] == o.Ledger
}

// encodeMeta lays ours over what is there.
func encodeMeta(there map[string]string, certificate string, l *Live) map[string]string {
	m := make(map[string]string, len(there)+16)
	for k, v := range there {
		m[k] = v
	}
	m[metaManagedBy] = managedBy
	m[metaCertificate] = certificate
	m[metaVersion] = strconv.Itoa(l.Version)
	m[metaSerial] = l.Serial
	m[metaNotBefore] = l.NotBefore.UTC().Format(time.RFC3339)
	m[metaNotAfter] = l.NotAfter.UTC().Format(time.RFC3339)
	m[metaNames] = l.NamesDigest
	m[metaKey] = l.KeyDigest
	m[metaShape] = l.KeyShape
	m[metaKeySince] = l.KeySince.UTC().Format(time.RFC3339)
	m[metaIssuer] = l.Issuer
	m[metaDirectory] = l.Directory
	m[metaProfile] = l.Profile
	m[metaRevision] = l.Revision
	m[metaRotate] = rotateToken(l.Rotate)
	m[metaFile] = rotateToken(l.File)
	m[metaIssuedAt] = l.IssuedAt.UTC().Format(time.RFC3339)
	m[metaARI] = l.ARI
	m[metaDNSAccount] = l.DNSAccount
	m[metaNextKey], m[metaNextShape], m[metaNextSince] = l.NextKeyDigest, l.NextKeyShape, ""
	if l.NextKeySince != nil {
		m[metaNextSince] = l.NextKeySince.UTC().Format(time.RFC3339)
	}
	for _, key := range []string{metaChainOf, metaChainEnd, metaChainKept, metaCRL, metaIssuerKey, metaAdopted} {
		m[key] = ""
	}
	if l.knowsChain() {
		m[metaChainOf], m[metaCRL] = l.Serial, l.CRL
	}
	if len(l.IssuerKey) <= maxMeta { // the record alone has a longer one
		m[metaIssuerKey] = l.IssuerKey
	}
	if l.Adopted {
		m[metaAdopted] = "true"
	}
	if l.ChainNotAfter != nil {
		m[metaChainEnd] = l.ChainNotAfter.UTC().Format(time.RFC3339)
	}
	if l.ChainKept {
		m[metaChainKept] = "true"
	}
	// KV v2 refuses a key with an empty value; a missing key reads the same.
	maps.DeleteFunc(m, func(_, v string) bool { return v == "" })
	return m
}

// decodeMeta reads custom metadata. A secret that is not certroll's own gives
// nil and no error; metadata that claims to be ours but cannot be read is an
// error, never taken for an absent secret.
func decodeMeta(m map[string]string) (certificate string, l *Live, err error) {
	if m[metaManagedBy] != managedBy {
		return "", nil, nil
	}
	l = &Live{
		Serial:      m[metaSerial],
		NamesDigest: m[metaNames],
		KeyDigest:   m[metaKey],
		KeyShape:    m[metaShape],
		Issuer:      m[metaIssuer],
		Directory:   m[metaDirectory],
		Profile:     m[metaProfile],
		Revision:    m[metaRevision],
		Rotate:      m[metaRotate],
		File:        m[metaFile],
		ARI:         m[metaARI],
		DNSAccount:  m[metaDNSAccount],

		NextKeyDigest: m[metaNextKey],
		NextKeyShape:  m[metaNextShape],
	}
	if l.Version, err = strconv.Atoi(m[metaVersion]); err != nil {
		return "", nil, fmt.Errorf("custom metadata %s = %q is no version number", metaVersion, m[metaVersion])
	}
	for key, at := range map[string]*time.Time{
		metaNotBefore: &l.NotBefore, metaNotAfter: &l.NotAfter,
		metaKeySince: &l.KeySince, metaIssuedAt: &l.IssuedAt,
	} {
		if *at, err = time.Parse(time.RFC3339, m[key]); err != nil {
			return "", nil, fmt.Errorf("custom metadata %s = %q is no RFC 3339 time", key, m[key])
		}
	}
	dates := map[string]**time.Time{metaNextSince: &l.NextKeySince}
	// An earlier certroll that renews leaves the keys that it does not know as they
	// were: they speak of the certificate before.
	if m[metaChainOf] == l.Serial {
		dates[metaChainEnd] = &l.ChainNotAfter
		l.ChainRead, l.ChainKept, l.Adopted = true, m[metaChainKept] == "true", m[metaAdopted] == "true"
		l.CRL, l.IssuerKey = m[metaCRL], m[metaIssuerKey]
	}
	for key, at := range dates {
		if m[key] == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, m[key])
		if err != nil {
			return "", nil, fmt.Errorf("custom metadata %s = %q is no RFC 3339 time", key, m[key])
		}
		*at = &t
	}
	return m[metaCertificate], l, nil
}

// rotateToken is a rotation request as it is compared and stored: the text
// itself, or its digest where it is too long for one metadata value.
func rotateToken(text string) string {
	if len(text) <= maxMeta {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Satisfies tells whether it was made for that rotation request.
func (l *Live) Satisfies(rotate string) bool { return rotateToken(rotate) == rotateToken(l.Rotate) }

// namesDigest identifies a set of names whatever their order.
func namesDigest(names []string) string {
	sorted := slices.Clone(names)
	slices.Sort(sorted)
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(sorted), "\n")))
	return hex.EncodeToString(sum[:])
}
