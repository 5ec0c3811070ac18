package spec

import (
	"testing"

	"certroll/spec/providers"
)

func TestTXTEffect(t *testing.T) {
	for _, c := range []struct {
		provider  string
		algorithm map[string]string
		want      providers.TXTEffect
	}{
		{"rfc2136", nil, providers.AddsTXT},
		{"rfc2136", map[string]string{"RFC2136_TSIG_ALGORITHM": "hmac-sha256."}, providers.AddsTXT},
		{"rfc2136", map[string]string{"RFC2136_TSIG_ALGORITHM": "gss-tsig."}, providers.ReplacesTXT},
		{"rfc2136", map[string]string{"DNSUPDATE_TSIG_ALGORITHM": "GSS-TSIG"}, providers.ReplacesTXT},
		{"dnsimple", map[string]string{"RFC2136_TSIG_ALGORITHM": "gss-tsig."}, providers.DeletesTXT},
		{"route53", nil, providers.MergesTXT},
		{"cloudflare", nil, providers.AddsTXT},
		{"of-tomorrow", nil, providers.ReplacesTXT},
	} {
		if got := (&DNSAccount{Provider: c.provider}).TXTEffect(c.algorithm); got != c.want || got.Spares() != (c.want == providers.MergesTXT || c.want == providers.AddsTXT) {
			t.Errorf("%s with %v: %d, want %d", c.provider, c.algorithm, got, c.want)
		}
	}
}
