package main

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

// keepings says what is wrong with how long the mounts of a spec keep what is
// written to them, a sentence a mount. A mount whose configuration the token
// may not read is passed over.
func keepings(ctx context.Context, kv *vault.KV, desired *spec.Spec, log *slog.Logger) []string {
	mounts := map[string]bool{}
	for _, c := range desired.Certificates {
		mounts[c.Vault.Mount] = true
	}
	var said []string
	for _, mount := range slices.Sorted(maps.Keys(mounts)) {
		k, err := kv.Keeping(ctx, mount)
		if err != nil {
			log.Debug("the mount's configuration cannot be read", "mount", mount, "error", err)
			continue
		}
		said = append(said, keepingWarnings(mount, k)...)
	}
	return said
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

// warnOfMounts logs each such sentence once.
func (d *daemon) warnOfMounts(ctx context.Context) {
	for _, w := range keepings(ctx, d.kv, d.desired, d.log) {
		if !d.warned[w] {
			d.warned[w] = true
			d.log.Warn("a mount keeps too little", "problem", w)
		}
	}
}
