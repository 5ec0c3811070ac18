package retention

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"certroll/spec"
	"certroll/vault"
)

// Warnings says what is wrong with how long the mounts of a spec, and the secrets
// whose metadata was read, keep what is written to them, a sentence each. A mount
// whose configuration the token may not read is passed over.
func Warnings(ctx context.Context, kv *vault.KV, desired *spec.Spec, log *slog.Logger) []string {
	mounts := map[string]bool{}
	for _, c := range desired.Certificates {
		mounts[c.Vault.Mount] = true
	}
	var said []string
	kept := map[string]vault.Keeping{}
	for _, mount := range slices.Sorted(maps.Keys(mounts)) {
		k, err := kv.Keeping(ctx, mount)
		if err != nil {
			log.Debug("the mount's configuration cannot be read", "mount", mount, "error", err)
			continue
		}
		said, kept[mount] = append(said, keepingWarnings(mount, k)...), k
	}
	return append(said, limitWarnings(kv.Limits(), kept, time.Now())...)
}

// shortKeeping is how long a version has to be kept at least: what is written
// stays until it is renewed, and public CAs issue for up to 200 days.
const shortKeeping = 200 * 24 * time.Hour

func keepingWarnings(mount string, k vault.Keeping) []string {
	var said []string
	if k.Versions == 1 {
		said = append(said, fmt.Sprintf("the mount %s/ keeps one version of a secret (max_versions = 1): each renewal destroys the key that is in use at that moment, before its readers have loaded the next; set it to 2 or more (vault write %[1]s/config max_versions=10)", mount))
	}
	if k.DeleteAfter > 0 && k.DeleteAfter < shortKeeping {
		said = append(said, fmt.Sprintf("the mount %s/ deletes each version after %s (delete_version_after), the current one too: a certificate that lives longer is gone before it is renewed; take that off (vault write %[1]s/config delete_version_after=0s)", mount, k.DeleteAfter))
	}
	return said
}

// limitWarnings says what is wrong with limits that single secrets have beside
// those of their mounts, which keep as stated.
func limitWarnings(limits []vault.Limits, mounts map[string]vault.Keeping, now time.Time) []string {
	var said []string
	for _, l := range limits {
		at := l.Mount + "/" + l.Path
		patch := "vault kv metadata patch -mount=" + l.Mount
		if l.Versions == 1 {
			said = append(said, fmt.Sprintf("the secret %s keeps one version (max_versions = 1 in its own metadata): each renewal destroys the key that is in use at that moment; set it to 2 or more (%s -max-versions=10 %s)", at, patch, l.Path))
		}
		mount := mounts[l.Mount].DeleteAfter
		switch {
		case l.DeleteAfter > 0 && l.DeleteAfter < shortKeeping:
			said = append(said, fmt.Sprintf("the secret %s deletes each version after %s (delete_version_after in its own metadata), the current one too: what lives longer is gone before it is renewed; take that off (%s -delete-version-after=0s %s)", at, l.DeleteAfter, patch, l.Path))
		case l.DeletedAt.After(now) && mount <= 0 && l.DeletedAt.Sub(now) < shortKeeping:
			said = append(said, fmt.Sprintf("the current version of the secret %s is deleted by itself at %s: delete_version_after was set when it was written; vault kv undelete brings it back then", at, l.DeletedAt.UTC().Format(time.RFC3339)))
		}
		if l.CASRequired {
			said = append(said, fmt.Sprintf("the secret %s demands check-and-set (cas_required in its own metadata): certroll writes with it; vault kv put by hand needs -cas=VERSION there", at))
		}
	}
	return said
}
