//go:build labproviders

package main

import "testing"

// TestEveryProvider checks the whole table in builds that link it.
func TestEveryProvider(t *testing.T) {
	t.Skip("built with the few DNS providers of the lab; `make integration` looks at all of them")
}
