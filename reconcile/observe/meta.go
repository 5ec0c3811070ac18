package observe

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	"certroll/reconcile/ledger"
)

// The keys in a secret's custom metadata. KV v2 allows 64 keys of 128 bytes with values of
// 512 bytes. Other keys belong to other programs, and certroll writes them back unchanged.
const (
	MetaManagedBy   = "managed_by"
	metaCertificate = "certificate"
	MetaVersion     = "version"
	MetaSerial      = "serial"
	metaNotBefore   = "not_before"
	metaNotAfter    = "not_after"
	metaNames       = "names_digest"
	MetaKey         = "key_digest"
	MetaShape       = "key_shape"
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
	MetaNextKey     = "next_key_digest"
	MetaNextShape   = "next_key_shape"
	MetaNextSince   = "next_key_since"
	MetaChainOf     = "chain_of" // serial of the certificate that the chain keys describe
	MetaChainEnd    = "chain_not_after"
	MetaChainKept   = "chain_kept"
	MetaCRL         = "crl"
	MetaIssuerKey   = "issuer_key"
	MetaAdopted     = "adopted"
	MetaLedger      = "ledger"  // of certroll's own secrets: the ledger that they belong to
	MetaStarted     = "started" // of a pending secret: start of the attempt; of a staged key: time of staging

	ManagedBy = "certroll"
)

// StateMeta adds certroll's mark and the ledger to the custom metadata of one of certroll's
// own secrets.
func StateMeta(m map[string]string, ledger string) map[string]string {
	m[MetaManagedBy] = ManagedBy
	if ledger != "" {
		m[MetaLedger] = ledger
	}
	return m
}

// ours reports whether one of certroll's own secrets belongs to this ledger.
func (o *Observer) ours(custom map[string]string) bool {
	return o.Ledger != "" && custom[MetaManagedBy] == ManagedBy && custom[MetaLedger] == o.Ledger
}

// EncodeMeta returns the custom metadata for a live certificate: the existing metadata with
// certroll's keys replaced.
func EncodeMeta(there map[string]string, certificate string, l *ledger.Live) map[string]string {
	// KV v2 replaces the whole metadata on a write, so foreign keys have to be in it.
	m := make(map[string]string, len(there)+16)
	for k, v := range there {
		m[k] = v
	}
	m[MetaManagedBy] = ManagedBy
	m[metaCertificate] = certificate
	m[MetaVersion] = strconv.Itoa(l.Version)
	m[MetaSerial] = l.Serial
	m[metaNotBefore] = l.NotBefore.UTC().Format(time.RFC3339)
	m[metaNotAfter] = l.NotAfter.UTC().Format(time.RFC3339)
	m[metaNames] = l.NamesDigest
	m[MetaKey] = l.KeyDigest
	m[MetaShape] = l.KeyShape
	m[metaKeySince] = l.KeySince.UTC().Format(time.RFC3339)
	m[metaIssuer] = l.Issuer
	m[metaDirectory] = l.Directory
	m[metaProfile] = l.Profile
	m[metaRevision] = l.Revision
	m[metaRotate] = ledger.RotateToken(l.Rotate)
	m[metaFile] = ledger.RotateToken(l.File)
	m[metaIssuedAt] = l.IssuedAt.UTC().Format(time.RFC3339)
	m[metaARI] = l.ARI
	m[metaDNSAccount] = l.DNSAccount
	m[MetaNextKey], m[MetaNextShape], m[MetaNextSince] = l.NextKeyDigest, l.NextKeyShape, ""
	if l.NextKeySince != nil {
		m[MetaNextSince] = l.NextKeySince.UTC().Format(time.RFC3339)
	}
	for _, key := range []string{MetaChainOf, MetaChainEnd, MetaChainKept, MetaCRL, MetaIssuerKey, MetaAdopted} {
		m[key] = ""
	}
	if l.KnowsChain() {
		m[MetaChainOf], m[MetaCRL] = l.Serial, l.CRL
	}
	if len(l.IssuerKey) <= ledger.MaxMeta { // only the record has a longer one
		m[MetaIssuerKey] = l.IssuerKey
	}
	if l.Adopted {
		m[MetaAdopted] = "true"
	}
	if l.ChainNotAfter != nil {
		m[MetaChainEnd] = l.ChainNotAfter.UTC().Format(time.RFC3339)
	}
	if l.ChainKept {
		m[MetaChainKept] = "true"
	}
	// KV v2 rejects a key with an empty value. DecodeMeta reads a missing key as empty.
	maps.DeleteFunc(m, func(_, v string) bool { return v == "" })
	return m
}

// DecodeMeta decodes custom metadata. For a secret without certroll's mark it returns nil
// and no error. Metadata with the mark that does not decode is an error: certroll must not
// treat the secret as absent.
func DecodeMeta(m map[string]string) (certificate string, l *ledger.Live, err error) {
	if m[MetaManagedBy] != ManagedBy {
		return "", nil, nil
	}
	l = &ledger.Live{
		Serial:      m[MetaSerial],
		NamesDigest: m[metaNames],
		KeyDigest:   m[MetaKey],
		KeyShape:    m[MetaShape],
		Issuer:      m[metaIssuer],
		Directory:   m[metaDirectory],
		Profile:     m[metaProfile],
		Revision:    m[metaRevision],
		Rotate:      m[metaRotate],
		File:        m[metaFile],
		ARI:         m[metaARI],
		DNSAccount:  m[metaDNSAccount],

		NextKeyDigest: m[MetaNextKey],
		NextKeyShape:  m[MetaNextShape],
	}
	// The rules cannot decide without version and dates, so these have to decode.
	if l.Version, err = strconv.Atoi(m[MetaVersion]); err != nil {
		return "", nil, fmt.Errorf("custom metadata %s = %q is no version number", MetaVersion, m[MetaVersion])
	}
	for key, at := range map[string]*time.Time{
		metaNotBefore: &l.NotBefore, metaNotAfter: &l.NotAfter,
		metaKeySince: &l.KeySince, metaIssuedAt: &l.IssuedAt,
	} {
		if *at, err = time.Parse(time.RFC3339, m[key]); err != nil {
			return "", nil, fmt.Errorf("custom metadata %s = %q is no RFC 3339 time", key, m[key])
		}
	}
	dates := map[string]**time.Time{MetaNextSince: &l.NextKeySince}
	// An earlier version of certroll copies keys that it does not know when it renews. They
	// then describe the previous certificate.
	if m[MetaChainOf] == l.Serial {
		dates[MetaChainEnd] = &l.ChainNotAfter
		l.ChainRead, l.ChainKept, l.Adopted = true, m[MetaChainKept] == "true", m[MetaAdopted] == "true"
		l.CRL, l.IssuerKey = m[MetaCRL], m[MetaIssuerKey]
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

// OwnerOf returns the certificate that a secret's custom metadata names; "" if the secret
// is not certroll's.
func OwnerOf(custom map[string]string) string {
	if custom[MetaManagedBy] != ManagedBy {
		return ""
	}
	return custom[metaCertificate]
}
