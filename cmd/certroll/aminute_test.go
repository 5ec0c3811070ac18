package main

import "testing"

// These tests wait for more than a minute and use no processor meanwhile. Go runs the
// parallel tests of a package in the order of its files, and their parallel subtests
// after all others: here they begin early, and nobody waits for them at the end.

// TestRateLimitedByTheDaemon: see TestCAFails.
func TestRateLimitedByTheDaemon(t *testing.T) {
	t.Parallel()
	rateLimited(t, newLab(t))
}

// TestVaultIsSealedUnderTheDaemon: see TestVaultGoesAwayInAPass.
func TestVaultIsSealedUnderTheDaemon(t *testing.T) {
	t.Parallel()
	runWithoutVault(t, newLab(t), 20, 9, false)
}

// TestTokenIsRevokedUnderTheDaemon: see TestVaultGoesAwayInAPass.
func TestTokenIsRevokedUnderTheDaemon(t *testing.T) {
	t.Parallel()
	runWithoutVault(t, newLab(t), 10, 5, true)
}
