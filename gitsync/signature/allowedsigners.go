package signature

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// allowedSigner is one line of OpenSSH's allowed signers file: "ALLOWED SIGNERS" in
// ssh-keygen(1).
type allowedSigner struct {
	line          int
	principals    []string // patterns
	key           ssh.PublicKey
	authority     bool     // the key is a CA: it signs certificates, and their keys sign commits
	namespaces    []string // patterns; nil: any
	after, before time.Time
}

// parseAllowedSigners parses the file. It rejects every unknown option: to skip an option
// that restricts a key would widen the trust in that key.
func parseAllowedSigners(text []byte) ([]allowedSigner, error) {
	var list []allowedSigner
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		s, err := parseAllowedSigner(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		s.line = i + 1
		list = append(list, s)
	}
	return list, nil
}

// parseAllowedSigner parses one line: PRINCIPALS [OPTIONS] TYPE KEY.
func parseAllowedSigner(line string) (s allowedSigner, err error) {
	principals, rest, err := cutPrincipals(line)
	if err != nil {
		return s, err
	}
	s.principals = strings.Split(principals, ",")
	key, _, options, more, err := ssh.ParseAuthorizedKey([]byte(rest))
	if err != nil || len(bytes.TrimSpace(more)) > 0 {
		return s, errors.New("after the principals there is no public key; write: PRINCIPALS [OPTIONS] TYPE KEY")
	}
	s.key = key
	// ssh.ParseAuthorizedKey accepts certificates too; OpenSSH's file has plain keys only.
	if _, isCert := key.(*ssh.Certificate); isCert {
		return s, errors.New("a certificate stands where a public key belongs; write the key of its authority, with the option cert-authority")
	}
	if err := strong(key); err != nil {
		return s, err
	}
	for _, o := range options {
		if err := s.option(o); err != nil {
			return s, err
		}
	}
	if !s.after.IsZero() && !s.before.IsZero() && !s.before.After(s.after) {
		return s, errors.New("valid-before is not after valid-after")
	}
	return s, nil
}

// cutPrincipals splits off the first field of a line, which may be in double quotes.
func cutPrincipals(line string) (principals, rest string, err error) {
	if quoted, isQuoted := strings.CutPrefix(line, `"`); isQuoted {
		principals, rest, isQuoted = strings.Cut(quoted, `"`)
		if !isQuoted {
			return "", "", errors.New("a quote is not closed")
		}
	} else if i := strings.IndexAny(line, " \t"); i > 0 {
		principals, rest = line[:i], line[i:]
	}
	if principals == "" {
		return "", "", errors.New("there are no principals; write: PRINCIPALS [OPTIONS] TYPE KEY")
	}
	return principals, strings.TrimSpace(rest), nil
}

// option applies one option of the line.
func (s *allowedSigner) option(o string) (err error) {
	name, value, hasValue := strings.Cut(o, "=")
	value = strings.Trim(value, `"`)
	switch name = strings.ToLower(name); {
	case name == "cert-authority" && !hasValue:
		s.authority = true
	case name == "namespaces" && value != "":
		s.namespaces = strings.Split(value, ",")
	case name == "valid-after":
		s.after, err = signerTime(value)
	case name == "valid-before":
		s.before, err = signerTime(value)
	default:
		err = fmt.Errorf("the option %q is not known", o)
	}
	return err
}

// signerTime parses YYYYMMDD[HHMM[SS]][Z]. A time without the Z is local time, as
// ssh-keygen(1) defines it.
func signerTime(text string) (time.Time, error) {
	digits, utc := strings.CutSuffix(text, "Z")
	zone := time.Local
	if utc {
		zone = time.UTC
	}
	layout := map[int]string{8: "20060102", 12: "200601021504", 14: "20060102150405"}[len(digits)]
	t, err := time.ParseInLocation(layout, digits, zone)
	if layout == "" || err != nil {
		return time.Time{}, fmt.Errorf("%q is no time; write YYYYMMDD or YYYYMMDDHHMMSS, with a Z for UTC", text)
	}
	return t, nil
}

// minRSABits is the smallest RSA key that certroll accepts, in bits. It equals the default
// of the OpenPGP library. 2047 instead of 2048, because the product of two 1024-bit primes
// may be one bit short.
const minRSABits = 2047

// dsaKey is the key type that OpenSSH has removed.
const dsaKey = "ssh-dss"

// strong rejects keys that OpenSSH no longer accepts: DSA and short RSA keys.
func strong(key ssh.PublicKey) error {
	if cert, ok := key.(*ssh.Certificate); ok {
		key = cert.Key
	}
	if key.Type() == dsaKey {
		return errors.New("it is a DSA key, which signs by SHA-1; signers need ECDSA, Ed25519 or RSA")
	}
	if c, ok := key.(ssh.CryptoPublicKey); ok {
		if k, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && k.N.BitLen() < minRSABits {
			return fmt.Errorf("the RSA key has %d bits; signers need 2048", k.N.BitLen())
		}
	}
	return nil
}

// bySHA1 reports whether a signature uses SHA-1. OpenSSH rejects such signatures, and
// x/crypto does not. Package sshsig rejects them for plain keys only, not for certificates.
func bySHA1(s *ssh.Signature) bool {
	return s.Format == ssh.KeyAlgoRSA || s.Format == dsaKey
}

// validAt returns the reason why the line is not valid at a time; "" if it is valid.
func (s *allowedSigner) validAt(at time.Time) string {
	switch {
	case !s.after.IsZero() && at.Before(s.after):
		return "is valid only from " + s.after.UTC().Format(time.RFC3339)
	case !s.before.IsZero() && !at.Before(s.before):
		return "was valid until " + s.before.UTC().Format(time.RFC3339)
	}
	return ""
}

// matchPatterns implements OpenSSH's pattern lists (PATTERNS in ssh_config(5)): one pattern
// must match, and no pattern that begins with "!" may match.
func matchPatterns(patterns []string, text string) bool {
	matched := false
	for _, p := range patterns {
		negated, isNegated := strings.CutPrefix(p, "!")
		if isNegated {
			p = negated
		}
		if matchPattern(p, text) {
			if isNegated {
				return false
			}
			matched = true
		}
	}
	return matched
}

// matchPattern supports the wildcards "*" and "?" only, as OpenSSH does.
func matchPattern(pattern, text string) bool {
	// In path.Match "*" stops at a slash, and brackets and backslashes are special.
	plain := strings.NewReplacer(`\`, `\\`, `[`, `\[`).Replace(pattern)
	ok, err := path.Match(strings.ReplaceAll(plain, "/", "\x00"), strings.ReplaceAll(text, "/", "\x00"))
	return ok && err == nil
}
