package spec

import (
	"math"
	"regexp"
	"slices"
	"strings"
)

// notSecret are words at the end of a variable's name that make it one that
// can be seen by anybody, though a word before them says secret.
var notSecret = []string{"_ID", "_NAME", "_TTL", "_TIMEOUT", "_INTERVAL", "_URL", "_HOST", "_ALGORITHM", "_TSIG_KEY", "_FINGERPRINT"}

// secretWords make a variable one whose value must not stand in a file.
var secretWords = []string{
	"TOKEN", "TOKENS", "SECRET", "PASSWORD", "PASSPHRASE", "PASS", "PASSWD", "PASSCODE", "KEY", "KEYS", "APIKEY", "PRIVKEY", "SECRETKEY",
	"ACCESSTOKEN", "SIGNATURE", "CREDENTIALS", "PAT", "OTP",
}

// secretVariable tells by its name whether a variable holds a secret.
func secretVariable(name string) bool {
	if name == "GCE_SERVICE_ACCOUNT" { // the account's key, as JSON
		return true
	}
	if slices.ContainsFunc(notSecret, func(end string) bool { return strings.HasSuffix(name, end) }) {
		return false
	}
	return slices.ContainsFunc(strings.Split(name, "_"), func(word string) bool { return slices.Contains(secretWords, word) })
}

var (
	pemKey = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY`)
	jwt    = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}`)
	// The prefixes by which services mark their tokens.
	marked = regexp.MustCompile(`\b(gh[pousr]_|github_pat_|glpat-|hv[sbr]\.|xox[abprs]-|dop_v1_|sk_live_|npm_|pypi-|SG\.)[A-Za-z0-9_-]{16,}`)
	login  = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://[^/@:]*:[^/@]+@`)
	opaque = regexp.MustCompile(`^[A-Za-z0-9+=_-][A-Za-z0-9+/=_-]{31,}$`) // not a path such as Azure's /subscriptions/...
	hexKey = regexp.MustCompile(`^[0-9a-fA-F]{40,}$`)
)

// looksSecret tells whether a text is a secret by its looks, and what it looks
// like. Names, addresses, numbers and the ids of zones and tenants do not.
func looksSecret(text string) (why string, secret bool) {
	text = strings.TrimSpace(text)
	switch {
	case pemKey.MatchString(text):
		return "this is a private key", true
	case jwt.MatchString(text):
		return "this looks like a signed token", true
	case marked.MatchString(text):
		return "this looks like a token", true
	case login.MatchString(text):
		return "this URL holds a password", true
	case hexKey.MatchString(text), opaque.MatchString(text) && mixed(text) && entropy(text) > 4:
		return "this looks like a secret", true
	}
	return "", false
}

// mixed tells whether a text has letters of both cases and digits.
func mixed(s string) bool {
	return strings.ContainsAny(s, "0123456789") && strings.ToLower(s) != s && strings.ToUpper(s) != s
}

// entropy is Shannon's, in bits a byte.
func entropy(s string) float64 {
	count := map[rune]float64{}
	for _, r := range s {
		count[r]++
	}
	bits, n := 0.0, float64(len(s))
	for _, c := range count {
		bits -= c / n * math.Log2(c/n)
	}
	return bits
}
