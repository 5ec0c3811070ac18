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

// Warnings returns a sentence for each retention problem of the spec's mounts, and of
// the secrets whose metadata was read. It skips a mount whose configuration the token
// may not read.
func Warnings(ctx context.Context, kv *vault.KV, desired *spec.Spec, log *slog.Logger) []string {
	mounts := map[string]bool{}
	for _, c := range desired.Certificates {
		mounts[c.Vault.Mount] = true
	}
	var said []string
	byMount := map[string]vault.Keeping{}
	for _, mount := range slices.Sorted(maps.Keys(mounts)) {
		k, err := kv.Keeping(ctx, mount)
		if err != nil {
			log.Debug("the mount's configuration cannot be read", "mount", mount, "error", err)
			continue
		}
		said, byMount[mount] = append(said, keepingWarnings(mount, k)...), k
	}
	return append(said, limitWarnings(kv.Limits(), byMount, time.Now())...)
}

// shortKeeping is the minimum retention of a version: it must last until the renewal,
// and public CAs issue for up to 200 days (CA/B Forum SC-081).
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

// limitWarnings returns the problems of limits in single secrets' own metadata. mounts
// has the retention of their mounts.
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
