package reference

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"

	"certroll/reconcile/apply"
	"certroll/spec"
	"certroll/spec/bounded"
	"certroll/vault"
)

// maxCredential bounds a credential file, in bytes.
const maxCredential = 64 << 10

// Resolver resolves the references of the spec.
type Resolver struct {
	Getenv func(string) string
	// Places returns why a Vault path is certroll's own; "" if it is not.
	Places func(ctx context.Context, path string) (why string, err error)
}

// Follow resolves a reference of the spec. Its errors do not contain the value.
func (r *Resolver) Follow(ctx context.Context, kv *vault.KV, v spec.Value) (string, error) {
	switch v.Source {
	case spec.FromVault:
		if v.Trusted {
			return kv.Field(ctx, v.Path, v.Field, nil)
		}
		return r.followRepo(ctx, kv, v)
	case spec.FromEnv:
		value := r.Getenv(v.Name)
		if value == "" {
			return "", fmt.Errorf("following env(%q) of %s:%d: the variable is empty or not set in certroll's environment; set it where certroll runs",
				v.Name, v.Range.Filename, v.Range.Start.Line)
		}
		return value, nil
	case spec.FromFile:
		return readCredential(v)
	default:
		return v.Text, nil
	}
}

// followRepo resolves a vault() of the config repo. Whatever trust.vault allows, it
// reaches neither certroll's state nor a secret that certroll ever wrote for a
// certificate: the credential goes to a server that the config repo names.
func (r *Resolver) followRepo(ctx context.Context, kv *vault.KV, v spec.Value) (string, error) {
	refused := func(why string) error {
		return fmt.Errorf("following vault(%q) of %s:%d: %s; the config repo never reaches it, keep the credential in a secret of its own",
			v.Path, v.Range.Filename, v.Range.Start.Line, why)
	}
	if why, err := r.Places(ctx, v.Path); err != nil || why != "" {
		return "", cmp.Or(err, refused(why))
	}
	return kv.Field(ctx, v.Path, v.Field, func(custom map[string]string) error {
		if apply.Manages(custom) {
			return refused("certroll manages that secret, by its metadata")
		}
		return nil
	})
}

func readCredential(v spec.Value) (string, error) {
	doing := fmt.Sprintf("following file(%q) of %s:%d", v.Path, v.Range.Filename, v.Range.Start.Line)
	b, err := bounded.File(v.Path, bounded.Secret)
	if err != nil {
		return "", fmt.Errorf("%s: %w", doing, err)
	}
	value := strings.TrimRight(string(b), "\r\n")
	if value == "" || len(b) > maxCredential {
		return "", fmt.Errorf("%s: the file has %d bytes; a credential has 1 to %d", doing, len(b), maxCredential)
	}
	return value, nil
}

// Versions returns the version of a credential without reading it: a secret's version
// number, or a file's modification time with the machine's ID, since each machine has
// its own file. Environment variables do not change during a process and have none.
type Versions struct {
	KV      *vault.KV
	Machine string
}

// MachineID is a hash of a machine's name, which should not appear in the ledger.
func MachineID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:4])
}

// Version returns the version of a reference's target; "" if it has none.
func (vs Versions) Version(ctx context.Context, v spec.Value) (string, error) {
	switch v.Source {
	case spec.FromVault:
		n, err := vs.KV.Version(ctx, v.Path)
		return strconv.Itoa(n), err
	case spec.FromFile:
		info, err := os.Stat(v.Path)
		if err != nil {
			return "", err
		}
		return vs.Machine + "@" + info.ModTime().UTC().Format("20060102T150405.000000000"), nil
	default:
		return "", nil
	}
}
