package main

import (
	"context"

	"certroll/cmd/certroll/retention"
)

// warnOfMounts logs each such sentence once.
func (d *daemon) warnOfMounts(ctx context.Context) {
	for _, w := range retention.Warnings(ctx, d.KV, d.desired, d.log) {
		if !d.warned[w] {
			d.warned[w] = true
			d.log.Warn("Vault deletes secret versions too soon", "problem", w)
		}
	}
}
