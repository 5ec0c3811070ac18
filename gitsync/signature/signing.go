package signature

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/hiddeco/sshsig"

	"certroll/gitsync/fault"
	"certroll/gitsync/remote"
	"certroll/spec/bounded"
)

// Key is a private key for signing commits. It has no printable field, so no log can show
// it.
type Key struct {
	sign func(commit []byte) (armored string, err error)
}

// ReadSSHKey reads a private key in OpenSSH or PEM form. The passphrase is "" for a key
// without one.
func ReadSSHKey(file, passphrase string) (*Key, error) {
	key, err := remote.ReadKey(remote.Auth{SSHKeyFile: file, SSHKeyPassphrase: passphrase})
	if err != nil {
		return nil, err
	}
	return &Key{sign: func(commit []byte) (string, error) {
		// git verifies SSH signatures in the namespace "git"; see -Y sign in ssh-keygen(1).
		sig, err := sshsig.Sign(bytes.NewReader(commit), key, sshsig.HashSHA512, "git")
		if err != nil {
			return "", err
		}
		return string(sshsig.Armor(sig)), nil
	}}, nil
}

// ReadOpenPGPKey reads a secret key as `gpg --export-secret-keys` writes it, armored or
// binary. It takes the first key of the file, and of that the newest subkey that may sign,
// or the primary key if there is none.
func ReadOpenPGPKey(file, passphrase string) (*Key, error) {
	doing := "reading the OpenPGP key " + file
	key, err := readOpenPGP(file)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Invalid, Doing: doing, Detail: fault.Reason(err), Err: notThere(err), Advice: "export it with gpg --export-secret-keys --armor"}
	}
	signing, ok := key.SigningKey(time.Now())
	switch {
	case !ok:
		return nil, fault.BadSetting(doing, "it has no key that may sign now", "see with gpg --list-secret-keys whether it has expired or was revoked")
	// gpg exports a stub for a key on a smartcard, and for a removed primary key.
	case signing.PrivateKey == nil || signing.PrivateKey.Dummy():
		return nil, fault.BadSetting(doing, "it holds the public half alone of the key that signs", "export it with gpg --export-secret-keys --armor")
	case signing.PrivateKey.Encrypted && passphrase == "":
		return nil, fault.BadSetting(doing, "it is encrypted and there is no passphrase", "give its passphrase")
	}
	if err := key.DecryptPrivateKeys([]byte(passphrase)); err != nil {
		return nil, fault.BadSetting(doing, "the passphrase does not open it", "check the passphrase")
	}
	return &Key{sign: func(commit []byte) (string, error) {
		var b bytes.Buffer
		err := openpgp.ArmoredDetachSign(&b, key, bytes.NewReader(commit), nil)
		if errors.As(err, new(pgperrors.InvalidArgumentError)) {
			err = fmt.Errorf("%w: see with gpg --list-keys whether it has expired", err)
		}
		return b.String(), err
	}}, nil
}

// readOpenPGP returns the first key of a file. Its errors quote nothing of the file.
func readOpenPGP(file string) (*openpgp.Entity, error) {
	b, err := bounded.NamedFile(file)
	if err != nil {
		return nil, err
	}
	read := openpgp.ReadKeyRing
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte("-----BEGIN")) {
		read = openpgp.ReadArmoredKeyRing
	}
	keys, err := read(bytes.NewReader(b))
	switch {
	case err != nil:
		return nil, errors.New("it is no OpenPGP key that can be read")
	case len(keys) == 0:
		return nil, errors.New("it holds no key")
	}
	return keys[0], nil
}

// notThere returns the error of the operating system, which holds no secret; nil for any
// other error. A parser's error may quote the key.
func notThere(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p
	}
	return nil
}

// Sign signs all bytes of a commit object and returns the commit with the gpgsig header, as
// git writes it. A nil Key returns the commit unchanged.
func (k *Key) Sign(commit []byte) ([]byte, error) {
	if k == nil {
		return commit, nil
	}
	armored, err := k.sign(commit)
	if err != nil {
		return nil, fmt.Errorf("signing the commit: %w", err)
	}
	head, body, _ := bytes.Cut(commit, []byte("\n\n"))
	// The continuation lines of a header begin with a space.
	lines := strings.ReplaceAll(strings.TrimSpace(armored), "\n", "\n ")
	return fmt.Appendf(nil, "%s\ngpgsig %s\n\n%s", head, lines, body), nil
}
