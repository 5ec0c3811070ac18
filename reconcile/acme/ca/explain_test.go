package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"certroll/reconcile/ledger"
)

func TestLongAnswersAreCut(t *testing.T) {
	text := Explain(t.Context(), "asking", errors.New(strings.Repeat("é", 2000)), Answer{Status: 201}, time.Now()).Error()
	if len(text) > 2200 || !utf8.ValidString(text) || !strings.Contains(text, "é…") {
		t.Errorf("got %d bytes that end %q", len(text), text[len(text)-80:])
	}
}

func TestUnreachable(t *testing.T) {
	tests := map[string]struct {
		err  error
		want ledger.Class
	}{
		"private CA":  {x509.UnknownAuthorityError{}, ledger.ClassConfig},
		"wrong name":  {x509.HostnameError{Certificate: &x509.Certificate{}, Host: "ca.example.com"}, ledger.ClassConfig},
		"anything":    {errors.New("connection reset by peer"), ledger.ClassCAUnavailable},
		"wrapped one": {&url.Error{Op: "Get", URL: "https://ca.example.com", Err: fmt.Errorf("tls: %w", x509.UnknownAuthorityError{})}, ledger.ClassConfig},
	}
	for name, test := range tests {
		if got := unreachable("asking", test.err); ledger.Class(got.Class()) != test.want {
			t.Errorf("%s: got class %s, want %s", name, got.Class(), test.want)
		}
	}
}
