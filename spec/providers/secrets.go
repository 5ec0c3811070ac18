package providers

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"certroll/spec/redact"
)

// notSecret are words at the end of a variable's name that make it one that
// can be seen by anybody, though a word before them says secret.
var notSecret = []string{"_ID", "_NAME", "_TTL", "_TIMEOUT", "_INTERVAL", "_URL", "_HOST", "_ALGORITHM", "_TSIG_KEY", "_FINGERPRINT"}

// secretWords make a variable one whose value must not stand in a file.
var secretWords = []string{
	"TOKEN", "TOKENS", "SECRET", "PASSWORD", "PASSPHRASE", "PASS", "PASSWD", "PASSCODE", "KEY", "KEYS", "APIKEY", "PRIVKEY", "SECRETKEY",
	"ACCESSTOKEN", "SIGNATURE", "CREDENTIALS", "PAT", "OTP",
}

// misnamed are the variables whose names mislead: GCE_SERVICE_ACCOUNT is the
// account's key, as JSON, and the others are ids of keys whose secret stands in
// another variable.
var misnamed = map[string]bool{
	"GCE_SERVICE_ACCOUNT": true,
	"ALICLOUD_ACCESS_KEY": false, "ALIESA_ACCESS_KEY": false, "IIJ_API_ACCESS_KEY": false, "SCW_ACCESS_KEY": false, "VINYLDNS_ACCESS_KEY": false,
	"AKAMAI_ACCOUNT_SWITCH_KEY": false, "OVH_APPLICATION_KEY": false,
}

// IsSecret tells by its name whether a provider's variable holds a secret,
// which may stand in no file: only a reference to where it is found.
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
	opaque = regexp.MustCompile(`^[A-Za-z0-9+=_-][A-Za-z0-9+/=_-]{31,}$`) // not a path such as Azure's /subscriptions/...
	// The ids that keys have at AWS, Tencent Cloud and Alibaba Cloud.
	keyID  = regexp.MustCompile(`^(AKIA|ASIA|AKID|LTAI)[A-Za-z0-9]+$`)
	hexKey = regexp.MustCompile(`^[0-9a-fA-F]{40,}$`)
)

// LooksSecret tells whether a text is a secret by its looks, and what it looks
// like. Names, addresses, numbers and the ids of zones and tenants do not.
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

// jumbled tells whether upper case, lower case and digits follow each other as
// in random text, where six of ten neighbours are of different kinds. In names
// made of words, even where each is capitalized, it is about three. Ids in hex
// have no upper case.
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
