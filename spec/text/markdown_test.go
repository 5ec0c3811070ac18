package text

import "testing"

// TestProse: only plain words are outside code spans.
func TestProse(t *testing.T) {
	for sentence, want := range map[string]string{
		`the spec changed domains from "a.example.com" to "a.example.com b.example.com"`: "the spec changed domains from `\"a.example.com\"` to `\"a.example.com b.example.com\"`",
		`it hands vault("kv/dns", "token") to whom it names, once.`:                      "it hands `vault(\"kv/dns\", \"token\")` to whom it names, once.",
		`(by @team) see #12, GH-12 and https://example.com.`:                             "(by `@team)` see `#12, GH-12` and `https://example.com`.",
		`[x](y) <b> **bold** _it_ :tada: a|b ` + "`tick` $y$":                            "`[x](y) <b> **bold** _it_ :tada: a¦b ʼtickʼ $y$`",
		`deadbee is hex, 12345 is long, &amp; is one`:                                    "`deadbee` is hex, `12345` is long, `&amp`; is one",
		`don't re-issue`: "don't re-issue",
		``:               "(empty)",
	} {
		got := Prose(sentence, 400)
		if got != want {
			t.Errorf("%q:\n%s, want\n%s", sentence, got, want)
		}
	}
}
