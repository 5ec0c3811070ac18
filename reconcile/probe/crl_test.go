package probe

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCRL(t *testing.T) {
	var server *httptest.Server
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "list") })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusFound) })
	mux.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round", http.StatusFound) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.1.2.3:9/x", http.StatusFound)
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, endless{}) })
	server = httptest.NewServer(mux)
	defer server.Close()
	p := loopback(t, Options{})
	for path, want := range map[string]string{
		"/ok": "", "/moved": "", "/round": "redirected too often", "/none": "404", "/endless": "larger than 10 MiB",
	} {
		got, err := p.CRL(t.Context(), server.URL+path)
		switch {
		case want == "" && (err != nil || string(got) != "list"):
			t.Errorf("%s: %q, error %v", path, got, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
	}
	for _, at := range []string{"ldap://ca.example.com/cn=crl", "file:///etc/passwd", "http:///x", "::"} {
		if _, err := p.CRL(t.Context(), at); err == nil || !strings.Contains(err.Error(), "no http or https URL") {
			t.Errorf("%s: error %v", at, err)
		}
	}
}

// TestCRLDenied checks that a CRL may not be fetched from an address that probes may
// not connect to, also behind a redirect.
func TestCRLDenied(t *testing.T) {
	asked := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer server.Close()
	_, err := New(Options{}).CRL(t.Context(), server.URL)
	var denied *DeniedError
	if !errors.As(err, &denied) || asked {
		t.Errorf("error %v, asked %v", err, asked)
	}
}
