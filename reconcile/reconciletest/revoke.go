package reconciletest

import (
	"certroll/spec"
)

// Compromised asks for a rotation that revokes.
func Compromised(c *spec.Certificate) {
	c.Rotate, c.RotateRevoke = "2026-11-23 the key leaked", &spec.Revocation{Code: 1}
}
