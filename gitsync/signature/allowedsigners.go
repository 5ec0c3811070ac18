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

// allowedSigner is one line of OpenSSH's file of allowed signers: "ALLOWED
// SIGNERS" in ssh-keygen(1).
type allowedSigner struct {
	line          int
	principals    []string // patterns
	key           ssh.PublicKey
	authority     bool     // the key signs certificates of those who sign commits
	namespaces    []string // patterns; nil: any
	after, before time.Time
}

// parseAllowedSigners reads the file. Whatever is not understood is an error:
// an option that restricts a key must not be passed over.
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

// cutPrincipals takes the first field, which may be in quotes.
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

// signerTime reads YYYYMMDD[HHMM[SS]][Z], which without the Z is local time.
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

// minRSABits is what OpenPGP signatures are held to by default as well.
const minRSABits = 2047

// dsaKey is the type of keys that OpenSSH no longer has.
const dsaKey = "ssh-dss"

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

// bySHA1 tells of the ways to sign that OpenSSH takes no signature of any more,
// and x/crypto still does; package sshsig refuses them of plain keys alone.
func bySHA1(s *ssh.Signature) bool {
	return s.Format == ssh.KeyAlgoRSA || s.Format == dsaKey
}

// validAt tells why the line does not count at a moment; "" where it does.
func (s *allowedSigner) validAt(at time.Time) string {
	switch {
	case !s.after.IsZero() && at.Before(s.after):
		return "is valid only from " + s.after.UTC().Format(time.RFC3339)
	case !s.before.IsZero() && !at.Before(s.before):
		return "was valid until " + s.before.UTC().Format(time.RFC3339)
	}
	return ""
}

// matchPatterns is OpenSSH's list of patterns: one must match, and none that
// begins with "!".
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

// matchPattern matches "*" and "?" and nothing else.
func matchPattern(pattern, text string) bool {
	// path.Match stops "*" at a slash, and knows brackets and backslashes.
	plain := strings.NewReplacer(`\`, `\\`, `[`, `\[`).Replace(pattern)
	ok, err := path.Match(strings.ReplaceAll(plain, "/", "\x00"), strings.ReplaceAll(text, "/", "\x00"))
	return ok && err == nil
}
