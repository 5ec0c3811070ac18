package spec

import (
	"crypto/sha256"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
)

// The sample: its key, and what stands for a keystore of it, are known again
// in what the expressions make of them. It is part of every digest, so that a
// change of it would look like a change of everybody's fields.
const (
	sampleKeyBody = "c2FtcGxlIGtleQ=="
	sampleKey     = "-----BEGIN PRIVATE KEY-----\n" + sampleKeyBody + "\n-----END PRIVATE KEY-----\n"
	sampleCert    = "-----BEGIN CERTIFICATE-----\nc2FtcGxlIGxlYWY=\n-----END CERTIFICATE-----\n"
	sampleChain   = "-----BEGIN CERTIFICATE-----\nc2FtcGxlIGNoYWlu\n-----END CERTIFICATE-----\n"
	sampleStore   = "a sample of a keystore"
)

// SampleValue is what cert is in the expressions while a file is decoded.
func SampleValue() cty.Value {
	m := Material{Certificate: sampleCert, Chain: sampleChain, FullChain: sampleCert + sampleChain, PrivateKey: sampleKey, NextKeyDigest: strings.Repeat("0b", sha256.Size)}
	return certValue(m, sampleChain, "0a:1b:2c", strings.Repeat("0a", sha256.Size), []string{"www.example.com"}, time.Unix(0, 0), time.Unix(1, 0))
}

// SampleHoldsKey tells whether the key of the sample, or a keystore of it, is in what
// expressions made of the sample.
func SampleHoldsKey(made map[string]string) bool {
	return anyHolds(made, sampleKeyBody) || anyHolds(made, sampleStore)
}

// SampleHoldsPair tells whether the key and the certificate of the sample can be read back
// from what expressions made of it.
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
