package signature

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"certroll/gitsync/fault"
	"certroll/spec/bounded"
)

// Signers are the keys that may sign commits. Verify reads the files for each commit, so an
// added or removed key counts at once.
type Signers struct {
	AllowedSigners string // path of OpenSSH's allowed signers file, as git's gpg.ssh.allowedSignersFile
	Keyring        string // path of OpenPGP public keys, armored or binary
	// Now is the time for checking the expiry of OpenPGP keys; time.Now if nil. For SSH
	// keys the commit's own time counts, as in git.
	Now func() time.Time
}

// gitNamespace is the namespace that git gives ssh-keygen for commits.
const gitNamespace = "git"

// ErrUnsigned is the error for a commit without a signature.
var ErrUnsigned = errors.New("the commit is not signed")

// UnusableError is the error for a key file that certroll cannot read or parse. The fault
// is in the file, not in the commit.
type UnusableError struct {
	file string
	err  error
}

func (e *UnusableError) Error() string { return e.file + ": " + fault.Reason(e.err) }

// Verify checks that one of the signers signed a commit, given its raw bytes, and returns
// the tree that the signature covers. The caller compares that tree with the tree that
// go-git parsed.
func (g *Signers) Verify(hash plumbing.Hash, raw []byte) (tree plumbing.Hash, err error) {
	// The signature must be of the commit that certroll uses, not of other bytes from the
	// store.
	if plumbing.ComputeHash(plumbing.CommitObject, raw) != hash {
		return tree, errors.New("its bytes are not those that its hash names")
	}
	s, err := parseSigned(raw)
	if err != nil {
		return tree, fmt.Errorf("it is no commit as git writes them: %w", err)
	}
	if s.signature == nil {
		return tree, ErrUnsigned
	}
	return s.tree, g.verifySignature(s)
}

// verifySignature checks the signature by its type.
func (g *Signers) verifySignature(s *signed) error {
	text := strings.TrimRight(string(s.signature), " \n")
	kind, err := armored(text)
	if err != nil {
		return err
	}
	switch kind {
	case "SSH SIGNATURE":
		return g.verifySSH(s, text)
	case "PGP SIGNATURE":
		return g.verifyOpenPGP(s, text)
	}
	return fmt.Errorf("it is signed in a way that is not known here (%q); sign by SSH or OpenPGP", kind)
}

// armored returns the type of the armor block. The text must be one block and nothing else.
func armored(text string) (kind string, err error) {
	const begin, end = "-----BEGIN ", "-----END "
	kind, _, ok := strings.Cut(strings.TrimPrefix(text, begin), "-----\n")
	switch {
	case !strings.HasPrefix(text, begin) || !ok || strings.Contains(kind, "\n"):
		return "", errors.New("its signature is not armored")
	case !strings.HasSuffix(text, "\n"+end+kind+"-----"):
		return "", errors.New("its signature is cut short, or something follows it")
	case strings.Count(text, begin) != 1 || strings.Count(text, end) != 1:
		return "", errors.New("it has more than one signature")
	}
	return kind, nil
}

// verifySSH checks an SSH signature as git does, with ssh-keygen -Y find-principals and -Y
// verify.
func (g *Signers) verifySSH(s *signed, text string) error {
	sig, err := sshsig.Unarmor([]byte(text))
	if err != nil {
		return fmt.Errorf("reading its SSH signature: %w", err)
	}
	if sig.Namespace != gitNamespace {
		return fmt.Errorf("its SSH signature was made for %q, not for %q", sig.Namespace, gitNamespace)
	}
	// First check that the key in the signature made it, then whether that key may sign. In
	// this order the messages about the key are true of the signer.
	if err := sshsig.Verify(bytes.NewReader(s.payload), sig, sig.PublicKey, sig.HashAlgorithm, gitNamespace); err != nil {
		return fmt.Errorf("its SSH signature is not one of these bytes: %w", err)
	}
	if err := strong(sig.PublicKey); err != nil {
		return err
	}
	if bySHA1(sig.Signature) {
		return errors.New("its SSH signature is by SHA-1, of which two texts with one sum can be made; sign it by rsa-sha2-512, as ssh-keygen does")
	}
	if g.AllowedSigners == "" {
		return errors.New("it is signed by SSH, and no file of allowed signers is set")
	}
	file, err := bounded.NamedFile(g.AllowedSigners)
	if err != nil {
		return &UnusableError{g.AllowedSigners, err}
	}
	signers, err := parseAllowedSigners(file)
	if err != nil {
		return &UnusableError{g.AllowedSigners, err}
	}
	return allowed(signers, sig.PublicKey, s.committed, g.AllowedSigners)
}

// allowed returns nil if a line lets the key sign commits at a time, else the reason of the
// last line that names the key.
func allowed(signers []allowedSigner, key ssh.PublicKey, at time.Time, file string) error {
	const nobody = "the key %s is not in %s"
	why := fmt.Errorf(nobody, ssh.FingerprintSHA256(key), file)
	for _, s := range signers {
		reason, ok := s.lets(key, at)
		if ok {
			return nil
		}
		if reason != "" {
			why = fmt.Errorf("the key %s of %s:%d %s", ssh.FingerprintSHA256(key), file, s.line, reason)
		}
	}
	return why
}

// lets reports whether the line lets a key sign at a time. reason is set only if the line
// is about that key and does not let it sign.
func (s *allowedSigner) lets(key ssh.PublicKey, at time.Time) (reason string, ok bool) {
	cert, isCert := key.(*ssh.Certificate)
	switch {
	// A line without cert-authority trusts its key only, not certificates by it, and vice
	// versa.
	case isCert != s.authority:
		return "", false
	case isCert && !bytes.Equal(cert.SignatureKey.Marshal(), s.key.Marshal()):
		return "", false
	case !isCert && !bytes.Equal(key.Marshal(), s.key.Marshal()):
		return "", false
	case s.namespaces != nil && !matchPatterns(s.namespaces, gitNamespace):
		return "may not sign for \"git\" (namespaces)", false
	}
	if reason := s.validAt(at); reason != "" {
		return reason + ", and the commit is of " + at.UTC().Format(time.RFC3339), false
	}
	if isCert {
		return s.certifies(cert, at)
	}
	return "", true
}

// certifies checks a certificate that the line's CA issued.
func (s *allowedSigner) certifies(cert *ssh.Certificate, at time.Time) (reason string, ok bool) {
	if cert.CertType != ssh.UserCert {
		return "signed a certificate that is not a user's", false
	}
	if bySHA1(cert.Signature) {
		return "signed a certificate by SHA-1", false
	}
	reason = "signed a certificate with none of the principals " + strings.Join(s.principals, ",")
	// The certificate must have been valid at the commit's time, as in git.
	checker := &ssh.CertChecker{Clock: func() time.Time { return at }}
	for _, principal := range cert.ValidPrincipals {
		if !matchPatterns(s.principals, principal) {
			continue
		}
		err := checker.CheckCert(principal, cert)
		if err == nil {
			return "", true
		}
		reason = "signed a certificate that does not count: " + err.Error()
	}
	return reason, false
}

// verifyOpenPGP checks the signature against the keyring. A key that has expired or was
// revoked by now does not count, whatever the commit's time is: the signer chooses that
// time.
func (g *Signers) verifyOpenPGP(s *signed, text string) error {
	if g.Keyring == "" {
		return errors.New("it is signed by OpenPGP, and no keyring is set")
	}
	keys, err := readKeyring(g.Keyring)
	if err != nil {
		return &UnusableError{g.Keyring, err}
	}
	sig, packets, err := onePacket(text)
	if err != nil {
		return err
	}
	now := time.Now
	if g.Now != nil {
		now = g.Now
	}
	_, err = openpgp.CheckDetachedSignature(keys, bytes.NewReader(s.payload), bytes.NewReader(packets), &packet.Config{Time: now})
	key := fmt.Sprintf("%016X", *sig.IssuerKeyId)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return fmt.Errorf("the OpenPGP key %s is not in %s, or may not sign", key, g.Keyring)
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return fmt.Errorf("the OpenPGP key %s has expired", key)
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return fmt.Errorf("the OpenPGP key %s was revoked", key)
	case errors.Is(err, pgperrors.ErrSignatureExpired):
		return fmt.Errorf("the signature by the OpenPGP key %s has expired", key)
	}
	return fmt.Errorf("its OpenPGP signature is not one of these bytes by the key %s: %w", key, err)
}

// onePacket returns the one signature packet of the armor, and its bytes. The signature
// must be over binary data: a text signature (RFC 9580, section 5.2.1.2) covers normalized
// line endings, so it would fit a commit with other bytes.
func onePacket(text string) (*packet.Signature, []byte, error) {
	block, err := armor.Decode(strings.NewReader(text))
	if err != nil {
		return nil, nil, fmt.Errorf("reading its OpenPGP signature: %w", err)
	}
	raw, err := io.ReadAll(block.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("reading its OpenPGP signature: %w", err)
	}
	packets := packet.NewReader(bytes.NewReader(raw))
	first, err := packets.Next()
	sig, ok := first.(*packet.Signature)
	if err != nil || !ok {
		return nil, nil, errors.New("its OpenPGP signature is none that is known here")
	}
	if _, err := packets.Next(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("it has more than one OpenPGP signature")
	}
	switch {
	case sig.SigType != packet.SigTypeBinary:
		return nil, nil, errors.New("its OpenPGP signature is not one over a commit")
	case sig.IssuerKeyId == nil:
		return nil, nil, errors.New("its OpenPGP signature does not say whose it is")
	}
	return sig, raw, nil
}

// readKeyring reads public keys: one armored block, several blocks in a row as `gpg
// --export --armor >>` makes them, or the binary form. openpgp.ReadArmoredKeyRing reads the
// first block only.
func readKeyring(file string) (openpgp.EntityList, error) {
	text, err := bounded.NamedFile(file)
	if err != nil {
		return nil, err
	}
	const begin = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	if !bytes.Contains(text, []byte(begin)) {
		return openpgp.ReadKeyRing(bytes.NewReader(text))
	}
	var all openpgp.EntityList
	// The text before the first block is a comment.
	for _, part := range strings.Split(string(text), begin)[1:] {
		keys, err := openpgp.ReadArmoredKeyRing(strings.NewReader(begin + part))
		if err != nil {
			return nil, err
		}
		all = append(all, keys...)
	}
	return all, nil
}
