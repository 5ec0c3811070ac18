package importing

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
)

// Vault reads pairs from Vault: the named secrets, and all below a place whose path is
// "" or ends in "/*". Secrets without a pair are ignored below a prefix, and refused if
// named. state is the prefix of certroll's own state, on any mount.
func Vault(ctx context.Context, secrets Secrets, places []ledger.Location, state string) (*Findings, error) {
	all := &Findings{Notes: []string{"a secret does not say by which CA account and DNS provider its certificate came: the issuer is guessed from the certificate"}}
	for _, at := range places {
		prefix, listed := strings.CutSuffix("/"+at.Path, "/*")
		if !listed {
			f := fromVault(ctx, secrets, at)
			all.Certificates = append(all.Certificates, f)
			continue
		}
		passed := 0
		err := walk(ctx, secrets, at.Mount, strings.TrimPrefix(prefix, "/"), func(p string) {
			if p == state || strings.HasPrefix(p, state+"/") {
				return
			}
			if f := fromVault(ctx, secrets, ledger.Location{Mount: at.Mount, Path: p}); f.leaf() != nil || f.unread {
				all.Certificates = append(all.Certificates, f)
			} else {
				passed++
			}
		})
		if err != nil {
			return nil, err
		}
		if passed > 0 {
			all.Notes = append(all.Notes, fmt.Sprintf("%d secret(s) below %s hold no pair in PEM, or nothing, and were passed over", passed, at))
		}
	}
	slices.SortFunc(all.Certificates, func(a, b *Found) int { return strings.Compare(a.From, b.From) })
	all.Certificates = slices.CompactFunc(all.Certificates, func(a, b *Found) bool { return a.At == b.At })
	nameByPath(all.Certificates)
	return all, nil
}

// maxListed bounds a listing, in secrets.
const maxListed = 100_000

// walk visits all secrets below a path.
func walk(ctx context.Context, secrets Secrets, mount, below string, visit func(string)) error {
	n := 0
	for folders := []string{below}; len(folders) > 0; {
		folder := folders[0]
		folders = folders[1:]
		keys, err := secrets.List(ctx, mount, folder)
		if err != nil {
			return err
		}
		for _, key := range keys {
			if n++; n > maxListed {
				return fmt.Errorf("listing %s/%s: there are more than %d secrets below it; name a longer prefix", mount, below, maxListed)
			}
			p := path.Join(folder, strings.TrimSuffix(key, "/"))
			if strings.HasSuffix(key, "/") {
				folders = append(folders, p)
			} else {
				visit(p)
			}
		}
	}
	return nil
}

func fromVault(ctx context.Context, secrets Secrets, at ledger.Location) *Found {
	f := &Found{Name: path.Base(at.Path), From: at.String(), At: at, There: true}
	data, _, err := secrets.Read(ctx, at.Mount, at.Path)
	if err != nil {
		f.unread = !errors.Is(err, fs.ErrNotExist)
		f.refuse("%v", err)
		return f
	}
	chain, key, err := keypair.FindPair(data)
	if err != nil {
		f.refuse("%v", err)
		return f
	}
	f.Chain, f.Key, f.sent = chain, secretKey{key}, chain
	if len(chain) == 1 {
		f.Chain = acrossFields(chain[0], data)
	}
	f.matchFields(data)
	return f
}

// acrossFields completes the chain of a lone leaf with certificates from other fields.
// Adoption compares only the leaf.
func acrossFields(leaf *x509.Certificate, data map[string]string) []*x509.Certificate {
	certs := []*x509.Certificate{leaf}
	for _, field := range slices.Sorted(maps.Keys(data)) {
		if more, err := certificates([]byte(data[field])); err == nil {
			certs = append(certs, more...)
		}
	}
	return inOrder(certs)
}

// nameByPath names certificates after the last part of their paths, with as many earlier
// parts as make the names unique.
func nameByPath(list []*Found) {
	count := map[string]int{}
	for _, f := range list {
		count[strings.ToLower(f.Name)]++
	}
	for _, f := range list {
		if count[strings.ToLower(f.Name)] > 1 {
			f.Name = strings.ReplaceAll(f.At.Path, "/", ".")
		}
	}
}
