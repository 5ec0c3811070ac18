package spec

import "testing"

func TestTXTEffect(t *testing.T) {
	for _, c := range []struct {
		provider  string
		algorithm map[string]string
		want      TXTEffect
	}{
		{"rfc2136", nil, AddsTXT},
		{"rfc2136", map[string]string{"RFC2136_TSIG_ALGORITHM": "hmac-sha256."}, AddsTXT},
		{"rfc2136", map[string]string{"RFC2136_TSIG_ALGORITHM": "gss-tsig."}, ReplacesTXT},
		{"rfc2136", map[string]string{"DNSUPDATE_TSIG_ALGORITHM": "GSS-TSIG"}, ReplacesTXT},
		{"dnsimple", map[string]string{"RFC2136_TSIG_ALGORITHM": "gss-tsig."}, DeletesTXT},
		{"route53", nil, MergesTXT},
		{"cloudflare", nil, AddsTXT},
		{"of-tomorrow", nil, ReplacesTXT},
	} {
		if got := (&DNSAccount{Provider: c.provider}).TXTEffect(c.algorithm); got != c.want || got.Spares() != (c.want == MergesTXT || c.want == AddsTXT) {
			t.Errorf("%s with %v: %d, want %d", c.provider, c.algorithm, got, c.want)
		}
	}
}
