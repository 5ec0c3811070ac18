package spec

import (
	"crypto/sha256"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
)

// The sample. SampleHoldsKey and SampleHoldsPair search the results of the expressions
// for its key and its keystore. Every digest covers the sample, so changing the sample
// would look like an edit of everybody's fields.
const (
	sampleKeyBody = "c2FtcGxlIGtleQ=="
	sampleKey     = "-----BEGIN PRIVATE KEY-----\n" + sampleKeyBody + "\n-----END PRIVATE KEY-----\n"
	sampleCert    = "-----BEGIN CERTIFICATE-----\nc2FtcGxlIGxlYWY=\n-----END CERTIFICATE-----\n"
	sampleChain   = "-----BEGIN CERTIFICATE-----\nc2FtcGxlIGNoYWlu\n-----END CERTIFICATE-----\n"
	sampleStore   = "a sample of a keystore"
)

// SampleValue returns the object cert of the expressions while a file is decoded.
func SampleValue() cty.Value {
	m := Material{Certificate: sampleCert, Chain: sampleChain, FullChain: sampleCert + sampleChain, PrivateKey: sampleKey, NextKeyDigest: strings.Repeat("0b", sha256.Size)}
	return certValue(m, sampleChain, "0a:1b:2c", strings.Repeat("0a", sha256.Size), []string{"www.example.com"}, time.Unix(0, 0), time.Unix(1, 0))
}

// SampleHoldsKey reports whether a result of the expressions contains the sample's key,
// or a keystore of it.
func SampleHoldsKey(made map[string]string) bool {
	return anyHolds(made, sampleKeyBody) || anyHolds(made, sampleStore)
}

// SampleHoldsPair reports whether the results of the expressions contain both the
// sample's key and its certificate in readable form.
func SampleHoldsPair(made map[string]string) bool {
	return anyHolds(made, strings.TrimSpace(sampleKey)) && anyHolds(made, strings.TrimSpace(sampleCert))
}

func anyHolds(made map[string]string, text string) bool {
	for _, field := range made {
		if strings.Contains(field, text) {
			return true
		}
	}
	return false
}
