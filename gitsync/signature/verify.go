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

// Signers are the keys whose commits are believed. The files are read anew
// for each commit, so that a key that was added or taken out counts at once.
type Signers struct {
	AllowedSigners string // OpenSSH's file of allowed signers, as git's gpg.ssh.allowedSignersFile
	Keyring        string // OpenPGP public keys, armored or not
	// Now is what the expiry of OpenPGP keys is held against; time.Now unless
	// set. An SSH key counts if it was valid when the commit was made, as git
	// has it.
	Now func() time.Time
}

// gitNamespace is what git has ssh-keygen sign commits for.
const gitNamespace = "git"

// ErrUnsigned says that a commit has no signature at all.
var ErrUnsigned = errors.New("the commit is not signed")

// UnusableError is a file of keys that cannot be read: no commit's fault.
type UnusableError struct {
	file string
	err  error
}

func (e *UnusableError) Error() string { return e.file + ": " + fault.Reason(e.err) }

// Verify checks that a commit's raw bytes are signed by one of the signers, and
// returns the tree that was signed.
func (g *Signers) Verify(hash plumbing.Hash, raw []byte) (tree plumbing.Hash, err error) {
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

// armored names what is in the armor, of which there must be one, and nothing
// around it.
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

// verifySSH does what git does by ssh-keygen -Y find-principals and verify.
func (g *Signers) verifySSH(s *signed, text string) error {
	sig, err := sshsig.Unarmor([]byte(text))
	if err != nil {
		return fmt.Errorf("reading its SSH signature: %w", err)
	}
	if sig.Namespace != gitNamespace {
		return fmt.Errorf("its SSH signature was made for %q, not for %q", sig.Namespace, gitNamespace)
	}
	// The key that the signature names must have made it; whether it may is
	// asked after, so that what is said of the key is true of the signer.
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

// allowed looks for a line that lets a key sign commits at a moment.
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

// lets tells whether a line lets a key sign; reason says why not where the
// line speaks of that key.
func (s *allowedSigner) lets(key ssh.PublicKey, at time.Time) (reason string, ok bool) {
	cert, isCert := key.(*ssh.Certificate)
	switch {
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

// certifies checks a certificate of the line's authority.
func (s *allowedSigner) certifies(cert *ssh.Certificate, at time.Time) (reason string, ok bool) {
	if cert.CertType != ssh.UserCert {
		return "signed a certificate that is not a user's", false
	}
	if bySHA1(cert.Signature) {
		return "signed a certificate by SHA-1", false
	}
	reason = "signed a certificate with none of the principals " + strings.Join(s.principals, ",")
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

// verifyOpenPGP checks the one signature against the keyring. Keys that have
// expired or were revoked by now do not count.
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

// onePacket reads the armor, in which there must be one signature, over binary
// data: in one over text the ends of lines could be exchanged.
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

// readKeyring reads public keys: one armored block, several after each other
// as `gpg --export --armor >>` makes them, or the binary form.
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
	for _, part := range strings.Split(string(text), begin)[1:] {
		keys, err := openpgp.ReadArmoredKeyRing(strings.NewReader(begin + part))
		if err != nil {
			return nil, err
		}
		all = append(all, keys...)
	}
	return all, nil
}
