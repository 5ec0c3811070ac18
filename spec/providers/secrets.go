package providers

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"certroll/spec/redact"
)

// notSecret are suffixes of variable names with public values, even if an earlier word of
// the name says secret.
var notSecret = []string{"_ID", "_NAME", "_TTL", "_TIMEOUT", "_INTERVAL", "_URL", "_HOST", "_ALGORITHM", "_TSIG_KEY", "_FINGERPRINT"}

// secretWords in a variable's name mean that its value must not be written into a file.
var secretWords = []string{
	"TOKEN", "TOKENS", "SECRET", "PASSWORD", "PASSPHRASE", "PASS", "PASSWD", "PASSCODE", "KEY", "KEYS", "APIKEY", "PRIVKEY", "SECRETKEY",
	"ACCESSTOKEN", "SIGNATURE", "CREDENTIALS", "PAT", "OTP",
}

// misnamed overrides the rules for misleading names: GCE_SERVICE_ACCOUNT is the account's
// key, as JSON. The others are ids of keys whose secret is in another variable.
var misnamed = map[string]bool{
	"GCE_SERVICE_ACCOUNT": true,
	"ALICLOUD_ACCESS_KEY": false, "ALIESA_ACCESS_KEY": false, "IIJ_API_ACCESS_KEY": false, "SCW_ACCESS_KEY": false, "VINYLDNS_ACCESS_KEY": false,
	"AKAMAI_ACCOUNT_SWITCH_KEY": false, "OVH_APPLICATION_KEY": false,
}

// IsSecret reports, by its name, whether a provider's variable contains a secret. A file
// may contain only a reference to a secret.
func IsSecret(name string) bool {
	if secret, ok := misnamed[name]; ok {
		return secret
	}
	if slices.ContainsFunc(notSecret, func(end string) bool { return strings.HasSuffix(name, end) }) {
		return false
	}
	return slices.ContainsFunc(strings.Split(name, "_"), func(word string) bool { return slices.Contains(secretWords, word) })
}

var (
	pemKey = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY`)
	login  = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://[^/@:]*:[^/@]+@`)
	opaque = regexp.MustCompile(`^[A-Za-z0-9+=_-][A-Za-z0-9+/=_-]{31,}$`) // does not match a path such as Azure's /subscriptions/...
	// Key ids of AWS, Tencent Cloud and Alibaba Cloud.
	keyID  = regexp.MustCompile(`^(AKIA|ASIA|AKID|LTAI)[A-Za-z0-9]+$`)
	hexKey = regexp.MustCompile(`^[0-9a-fA-F]{40,}$`)
)

// LooksSecret reports whether a text looks like a secret, and describes the resemblance.
// Names, addresses, numbers and the ids of zones and tenants do not match.
func LooksSecret(text string) (why string, secret bool) {
	text = strings.TrimSpace(text)
	switch {
	case pemKey.MatchString(text):
		return "this is a private key", true
	case redact.Shape(text) != "":
		return "this looks like " + redact.Shape(text), true
	case login.MatchString(text):
		return "this URL holds a password", true
	case keyID.MatchString(text):
		return "", false
	case hexKey.MatchString(text), opaque.MatchString(text) && jumbled(text):
		return "this looks like a secret", true
	}
	return "", false
}

// jumbled reports whether upper case, lower case and digits alternate as in random text.
// There, about six of ten neighbours differ in kind. In names made of words, even
// capitalized ones, it is about three. Hex ids contain only one case, so they never
// match.
func jumbled(s string) bool {
	letters, changes, last := 0, 0, rune(0)
	kinds := map[rune]bool{}
	for _, r := range s {
		kind := kindOfLetter(r)
		if kind == 0 {
			continue
		}
		if letters++; kind != last {
			changes++
		}
		kinds[kind], last = true, kind
	}
	return len(kinds) == 3 && changes*10 > letters*4
}

func kindOfLetter(r rune) rune {
	switch {
	case unicode.IsUpper(r):
		return 'A'
	case unicode.IsLower(r):
		return 'a'
	case unicode.IsDigit(r):
		return '0'
	}
	return 0
}
