package main

import "testing"

// These tests wait for more than a minute without using the processor. Go runs a package's parallel tests in the order
// of its files, and their parallel subtests last. In this file they start early, so the test run does not wait for them
// at its end.

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
