package main

import (
	"strings"
	"testing"
)

func TestOpen(t *testing.T) {
	t.Setenv("DUCKDNS_TOKEN", "")
	if p, err := open("duckdns"); p != nil || err == nil {
		t.Errorf("without credentials: %v, %v", p, err)
	}
	t.Setenv("DUCKDNS_TOKEN", "x")
	if p, err := open("duckdns"); p == nil || err != nil {
		t.Errorf("with credentials: %v, %v", p, err)
	}
	for _, code := range []string{"exec", "manual", "azure", "no-such-provider"} {
		if p, err := open(code); p != nil || err == nil || !strings.Contains(err.Error(), "cannot be opened here") {
			t.Errorf("%s: %v, %v", code, p, err)
		}
	}
}
