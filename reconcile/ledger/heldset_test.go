package ledger

import "testing"

// TestHeldSetSummary checks the summary of a set that trips the brake alone, and of one that
// does so only with earlier changes. The id of a set does not contain them.
func TestHeldSetSummary(t *testing.T) {
	one, other := HeldCertificate{Certificate: "api", What: KindIssue, Cause: "a"}, HeldCertificate{Certificate: "www", What: KindReissue, Cause: "b"}
	for want, set := range map[string]HeldSet{
		"2 of 2 live certificates at once: 1 gone from Vault, 1 to reissue by a change of the spec":                                 {Live: 2, Certificates: []HeldCertificate{one, other}},
		"2 of 2 live certificates within 24 hours: 1 gone from Vault now, 1 changed earlier":                                        {Live: 2, Done: 1, Certificates: []HeldCertificate{one}},
		"6 of 20 live certificates within 24 hours: 1 gone from Vault, 1 to reissue by a change of the spec now, 4 changed earlier": {Live: 20, Done: 4, Certificates: []HeldCertificate{one, other}},
	} {
		if got := set.Summary(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		later := set
		later.Done++
		if later.Digest() != set.Digest() {
			t.Errorf("the id of %q changes with earlier changes", want)
		}
	}
}
