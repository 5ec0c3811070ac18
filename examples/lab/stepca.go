package lab

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// stepCAName is the program of StartStepCA.
const stepCAName = "step-ca"

// StepCAOptions are the settings of StartStepCA.
type StepCAOptions struct {
	Dir string // working directory; "": a temporary one
	// DNS is the CA's resolver ("127.0.0.1:port").
	DNS      string
	Lifetime time.Duration // of certificates; 0: 90 days
}

// StepCA is a running step-ca: a real CA by Smallstep, which stores accounts, orders and
// revocations on disk. It offers no renewal information (RFC 9773) and no profiles. It
// updates its CRL at each revocation.
type StepCA struct {
	*Process
	Directory string // URL of the ACME directory
	CABundle  string // PEM of the root, for the URL and for issued certificates
	CRL       string // URL of the CRL, which every certificate names
	HTTPPort  int    // port for http-01 validation
	TLSPort   int    // port for tls-alpn-01 validation

	options StepCAOptions
	dir     workdir
	ports   []*reservation
	client  *http.Client
}

// StartStepCA starts a CA with its own root and intermediate.
func StartStepCA(ctx context.Context, o StepCAOptions) (*StepCA, error) {
	dir, err := openDir(o.Dir, stepCAName)
	if err != nil {
		return nil, err
	}
	s := &StepCA{options: o, dir: dir}
	if err = s.prepare(); err == nil {
		err = s.Start(ctx)
	}
	if err != nil {
		s.cleanUp()
		return nil, err
	}
	return s, nil
}

// prepare chooses the ports and writes keys and configuration, once for all starts.
func (s *StepCA) prepare() error {
	for range 4 {
		r, err := reservePort()
		if err != nil {
			return err
		}
		s.ports = append(s.ports, r)
	}
	s.Directory = "https://" + s.ports[0].Addr + "/acme/lab/directory"
	s.CRL = "http://" + s.ports[1].Addr + "/1.0/crl"
	s.HTTPPort, s.TLSPort = s.ports[2].Port, s.ports[3].Port
	files, err := hierarchy("step-ca of the lab")
	if err != nil {
		return fmt.Errorf("making the hierarchy of step-ca: %w", err)
	}
	s.CABundle, s.client = string(files["root.pem"]), clientFor(files["root.pem"])
	if files["ca.json"], err = json.MarshalIndent(s.config(), "", "  "); err != nil {
		return fmt.Errorf("encoding step-ca's configuration: %w", err)
	}
	for name, content := range files {
		if err := os.WriteFile(s.path(name), content, 0o600); err != nil {
			return fmt.Errorf("writing step-ca's configuration: %w", err)
		}
	}
	return nil
}

func (s *StepCA) path(name string) string { return filepath.Join(s.dir.path, name) }

// leafTemplate is step-ca's own template for TLS, plus the CRL's URL.
const leafTemplate = `{
	"subject": {{ toJson .Subject }},
	"sans": {{ toJson .SANs }},
	"keyUsage": ["digitalSignature"],
	"extKeyUsage": ["serverAuth"],
	"crlDistributionPoints": [%q]
}`

func (s *StepCA) config() any {
	lifetime := s.options.Lifetime
	if lifetime == 0 {
		lifetime = 90 * 24 * time.Hour
	}
	return map[string]any{
		"root": s.path("root.pem"), "crt": s.path("intermediate.pem"), "key": s.path("intermediate-key.pem"),
		"address": s.ports[0].Addr, "insecureAddress": s.ports[1].Addr, "dnsNames": []string{"127.0.0.1"},
		"logger": map[string]string{"format": "text"},
		"db":     map[string]string{"type": "bbolt", "dataSource": s.path("step-ca.db")},
		"crl":    map[string]any{"enabled": true, "generateOnRevoke": true, "idpURL": s.CRL},
		"authority": map[string]any{"provisioners": []any{map[string]any{
			"type": "ACME", "name": "lab", "challenges": []string{"dns-01", "http-01", "tls-alpn-01"},
			"claims":  map[string]string{"maxTLSCertDuration": lifetime.String(), "defaultTLSCertDuration": lifetime.String()},
			"options": map[string]any{"x509": map[string]string{"template": fmt.Sprintf(leafTemplate, s.CRL)}},
		}}},
	}
}

// Start starts the CA again after Stop, with its stored state.
func (s *StepCA) Start(ctx context.Context) error {
	args := []string{s.path("ca.json"), "--insecure", "--acme-http-port", strconv.Itoa(s.HTTPPort), "--acme-tls-port", strconv.Itoa(s.TLSPort)}
	if s.options.DNS != "" {
		args = append(args, "--resolver", s.options.DNS)
	}
	var err error
	if s.Process, err = start(s.dir.path, nil, stepCAName, args...); err != nil {
		return err
	}
	return s.ready(ctx, func(ctx context.Context) error {
		_, err := s.get(ctx, s.Directory)
		return err
	})
}

// Stop ends the CA until the next Start.
func (s *StepCA) Stop() error { return s.Process.Close() }

// Close ends the CA.
func (s *StepCA) Close() error {
	err := s.Process.Close()
	s.cleanUp()
	return err
}

func (s *StepCA) cleanUp() {
	for _, r := range s.ports {
		r.release()
	}
	s.dir.remove()
}

// Client returns an HTTP client that trusts the CA's URLs.
func (s *StepCA) Client() *http.Client { return s.client }

// Revoked returns the CRL's entries.
func (s *StepCA) Revoked(ctx context.Context) ([]x509.RevocationListEntry, error) {
	der, err := s.get(ctx, s.CRL)
	if err != nil {
		return nil, err
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("reading the CRL %s: %w", s.CRL, err)
	}
	return list.RevokedCertificateEntries, nil
}

func (s *StepCA) get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", url, resp.Status, b)
	}
	return b, err
}

// hierarchy makes a root and an intermediate, as PEM files by name. It drops the root's
// key, which is not needed any more.
func hierarchy(name string) (map[string][]byte, error) {
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	root, between := authority(name+": root", 1, 10), authority(name+": intermediate", 2, 5)
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	if err != nil {
		return nil, err
	}
	if root, err = x509.ParseCertificate(rootDER); err != nil {
		return nil, err
	}
	betweenDER, err := x509.CreateCertificate(rand.Reader, between, root, key.Public(), rootKey)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		"root.pem":             pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER}),
		"intermediate.pem":     pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: betweenDER}),
		"intermediate-key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}, nil
}

func authority(name string, serial int64, years int) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(years, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}
