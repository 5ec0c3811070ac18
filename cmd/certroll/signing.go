package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"certroll/gitsync"
)

// signingSettings say where the key is that the ledger's commits are signed
// with. It is read when a command starts that writes the ledger.
type signingSettings struct {
	SSHKeyFile     string `hcl:"ssh_key_file,optional"`
	OpenPGPKeyFile string `hcl:"openpgp_key_file,optional"`
	PassphraseEnv  string `hcl:"passphrase_env,optional"`
	PassphraseFile string `hcl:"passphrase_file,optional"`
}

// key reads it; nil where there is no such block.
func (k *signingSettings) key() (*gitsync.SigningKey, error) {
	if k == nil {
		return nil, nil
	}
	if (k.SSHKeyFile == "") == (k.OpenPGPKeyFile == "") {
		return nil, errors.New("ledger.signing names one key: set ssh_key_file or openpgp_key_file in certroll.hcl")
	}
	passphrase, err := k.passphrase()
	if err != nil {
		return nil, err
	}
	if k.SSHKeyFile != "" {
		return gitsync.ReadSSHSigningKey(k.SSHKeyFile, passphrase)
	}
	return gitsync.ReadOpenPGPSigningKey(k.OpenPGPKeyFile, passphrase)
}

func (k *signingSettings) passphrase() (string, error) {
	switch {
	case k.PassphraseFile != "":
		b, err := os.ReadFile(k.PassphraseFile)
		if err != nil {
			return "", fmt.Errorf("reading the passphrase of the key that signs the ledger: %w", err)
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	case k.PassphraseEnv != "":
		p := os.Getenv(k.PassphraseEnv)
		if p == "" {
			return "", fmt.Errorf("reading the passphrase of the key that signs the ledger: the environment variable %s is empty; set it, or mend passphrase_env in certroll.hcl", k.PassphraseEnv)
		}
		return p, nil
	}
	return "", nil
}
