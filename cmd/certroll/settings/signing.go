package settings

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"certroll/gitsync/signature"
	"certroll/spec/bounded"
	"certroll/spec/credential"
)

// Signing is the ledger.signing block: the place of the key that signs the ledger's
// commits. certroll reads the key at the start of a command that writes the ledger.
type Signing struct {
	SSHKeyFile     string `hcl:"ssh_key_file,optional"`
	OpenPGPKeyFile string `hcl:"openpgp_key_file,optional"`
	PassphraseEnv  string `hcl:"passphrase_env,optional"`
	PassphraseFile string `hcl:"passphrase_file,optional"`
}

// key reads the key; nil without the block.
func (k *Signing) key() (*signature.Key, error) {
	if k == nil {
		return nil, nil
	}
	if (k.SSHKeyFile == "") == (k.OpenPGPKeyFile == "") {
		return nil, errors.New("ledger.signing names one key: set ssh_key_file or openpgp_key_file in certroll.hcl")
	}
	passphrase, err := k.Passphrase()
	if err != nil {
		return nil, err
	}
	read, file := signature.ReadOpenPGPKey, k.OpenPGPKeyFile
	if k.SSHKeyFile != "" {
		read, file = signature.ReadSSHKey, k.SSHKeyFile
	}
	key, err := read(file, passphrase)
	return key, credential.Passphrase("the passphrase", passphrase, err)
}

// Passphrase returns the key's passphrase; "" if it has none.
func (k *Signing) Passphrase() (string, error) {
	return passphrase("the passphrase of the key that signs the ledger", "passphrase_env", k.PassphraseEnv, k.PassphraseFile)
}

// passphrase reads a key's passphrase from a file, else from the environment; "" if
// neither is set. setting is the name of the setting with the variable.
func passphrase(what, setting, env, file string) (string, error) {
	switch {
	case file != "":
		b, err := bounded.File(file, bounded.Secret)
		if err != nil {
			return "", fmt.Errorf("reading %s: %w", what, err)
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	case env != "":
		p := os.Getenv(env)
		if p == "" {
			return "", fmt.Errorf("reading %s: the environment variable %s is empty; set it, or fix %s in certroll.hcl", what, env, setting)
		}
		return p, nil
	}
	return "", nil
}
