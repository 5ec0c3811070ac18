package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// teeVariable names a directory in which a test binary that acts as certroll saves a copy of all its output,
// independently of the test.
const teeVariable = "CERTROLL_TEST_TEE"

// tee returns writers that copy what is written into a file of the directory.
func tee(dir string, out, err io.Writer) (io.Writer, io.Writer) {
	f, openErr := os.CreateTemp(dir, "said-*")
	if openErr != nil {
		panic(openErr)
	}
	return io.MultiWriter(out, f), io.MultiWriter(err, f)
}

// watchForSecrets searches, at the end of the test, for every private key and credential in the world's Vault. It
// searches everything that certroll has left: output, all Git objects, state, plan files, temporary files.
func (w *world) watchForSecrets() {
	w.said, w.tmp = w.t.TempDir(), w.t.TempDir()
	w.t.Cleanup(func() {
		for _, leak := range w.leaks() {
			w.t.Error(leak)
		}
	})
}

// leaks lists the secrets that it found, with the places.
func (w *world) leaks() []string {
	var found []string
	secrets := w.secrets()
	for place, text := range w.left() {
		for _, s := range secrets {
			if s.in(text) {
				found = append(found, fmt.Sprintf("%s holds a %s", place, s.what))
			}
		}
		if bytes.Contains(text, []byte("PRIVATE KEY-----")) {
			found = append(found, place+" holds a private key")
		}
	}
	return found
}

// secret is a value that must not occur anywhere, in all of its possible forms.
type secret struct {
	what  string
	forms [][]byte
}

func (s secret) in(text []byte) bool {
	return slices.ContainsFunc(s.forms, func(f []byte) bool { return bytes.Contains(text, f) })
}

// leastSought is the minimum length: shorter values of a test, for example "true", are not secrets.
const leastSought = 8

// textSecret returns the forms of a token or password.
func textSecret(what, text string) secret {
	if len(text) < leastSought {
		return secret{what: what}
	}
	return secret{what, append(encodings([]byte(text)), []byte(text))}
}

// keySecret returns the forms of a private key's secret number, which every encoding (PEM, DER, JSON, hex) contains.
func keySecret(what string, key any) secret {
	var number []byte
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		number, _ = k.Bytes() // the key was parsed, so its curve is known
	case *rsa.PrivateKey:
		number = k.Primes[0].Bytes()
	case ed25519.PrivateKey:
		number = k.Seed()
	}
	return secret{what, append(encodings(number), unbroken(number))}
}

// encodings returns the text encodings of bytes. Base64 has three, one for each alignment to a group of three bytes,
// each without the characters that depend on neighboring bytes.
func encodings(b []byte) [][]byte {
	forms := [][]byte{[]byte(hex.EncodeToString(b)), []byte(strings.ToUpper(hex.EncodeToString(b)))}
	for shift := range 3 {
		inner := b[shift:]
		inner = inner[:len(inner)/3*3]
		if len(inner) >= 2*leastSought {
			forms = append(forms, []byte(base64.StdEncoding.EncodeToString(inner)), []byte(base64.URLEncoding.EncodeToString(inner)))
		}
	}
	return forms
}

// unbroken removes PEM's line ends, both raw and as escaped by JSON and Go.
func unbroken(text []byte) []byte {
	for _, end := range []string{"\r", "\n", `\r`, `\n`} {
		text = bytes.ReplaceAll(text, []byte(end), nil)
	}
	return text
}

// secrets returns the secrets in the world's Vault and certroll's credentials.
func (w *world) secrets() []secret {
	found := []secret{textSecret("Vault token", w.token), textSecret("root token", w.vault.Token), textSecret("TSIG secret", w.nameserver.secret)}
	for _, e := range w.env {
		if name, value, _ := strings.Cut(e, "="); strings.Contains(name, "SECRET") || strings.Contains(name, "TOKEN") || strings.Contains(name, "PASSWORD") {
			found = append(found, textSecret(name, value))
		}
	}
	keys := 0
	w.walk("secret/metadata/", func(path string, data map[string]any) {
		for field, value := range data {
			text, ok := value.(string)
			if !ok {
				continue
			}
			if key := privateKey(text); key != nil {
				found = append(found, keySecret("private key of "+path, key))
				keys++
			}
			if strings.HasPrefix(path, "dns/") {
				found = append(found, textSecret("credential "+path+" "+field, text))
			}
		}
	})
	w.keysSought = keys
	return found
}

// privateKey parses the PEM private key in a text, or returns nil.
func privateKey(text string) any {
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			return key
		}
		if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
			return key
		}
		if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
			return key
		}
	}
}

// walk visits every version of every secret below a folder of the mount "secret", and skips deleted ones.
func (w *world) walk(folder string, visit func(path string, data map[string]any)) {
	ctx := context.Background() // the test's context has ended
	var list struct{ Data struct{ Keys []string } }
	if w.vault.API(ctx, "LIST", folder, nil, &list) != nil {
		return
	}
	for _, name := range list.Data.Keys {
		if strings.HasSuffix(name, "/") {
			w.walk(folder+name, visit)
			continue
		}
		path := strings.TrimPrefix(folder, "secret/metadata/") + name
		var meta struct {
			Data struct{ Versions map[string]any }
		}
		if w.vault.API(ctx, http.MethodGet, "secret/metadata/"+path, nil, &meta) != nil {
			continue
		}
		for version := range meta.Data.Versions {
			var s struct{ Data struct{ Data map[string]any } }
			if w.vault.API(ctx, http.MethodGet, "secret/data/"+path+"?version="+version, nil, &s) == nil {
				visit(path, s.Data.Data)
			}
		}
	}
}

// left returns everything that the world's certrolls have left, by place, unbroken.
func (w *world) left() map[string][]byte {
	places := map[string][]byte{}
	repos := []string{w.repo}
	for _, dir := range append(w.states(), w.said, w.tmp) {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil || !d.Type().IsRegular():
				return nil //nolint:nilerr // a test may have taken it away
			case d.Name() == "HEAD":
				repos = append(repos, filepath.Dir(path))
			}
			if b, err := os.ReadFile(path); err == nil {
				places[path] = unbroken(b)
			}
			return nil
		})
		if err != nil {
			w.t.Error(err)
		}
	}
	for _, repo := range repos {
		if b := objects(repo); len(b) > 0 {
			places["the objects of "+repo] = unbroken(b)
		}
	}
	return places
}

// objects returns the concatenated objects of a repository. It skips objects larger than anything that certroll writes:
// they are a test's zeros, and would take most of the time.
func objects(repo string) []byte {
	const largest = 64 << 20
	git := func(in io.Reader, args ...string) []byte {
		cmd := exec.CommandContext(context.Background(), "git", append([]string{"-C", repo, "cat-file"}, args...)...)
		cmd.Stdin = in
		b, err := cmd.Output()
		if err != nil {
			return nil // no repository, or one that a test damaged
		}
		return b
	}
	var names bytes.Buffer
	for line := range bytes.Lines(git(nil, "--batch-all-objects", "--batch-check=%(objectname) %(objectsize)")) {
		name, size, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		if n, err := strconv.Atoi(string(size)); err == nil && n <= largest {
			fmt.Fprintf(&names, "%s\n", name)
		}
	}
	return git(&names, "--batch", "--buffer")
}

// states returns the state directories and plan files of the world.
func (w *world) states() []string {
	var found []string
	for _, pattern := range []string{"*state*", "*.plan"} {
		paths, err := filepath.Glob(filepath.Join(w.dir, pattern))
		if err != nil {
			w.t.Error(err)
		}
		found = append(found, paths...)
	}
	return found
}

// TestSecretsAreSought: the search at the end of every other test finds a key and a credential in each form and place,
// and reports no public data.
func TestSecretsAreSought(t *testing.T) {
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	modular, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]any{"ecdsa": elliptical, "rsa": modular, "ed25519": edwards} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		s := keySecret(name, privateKey(text))
		for form, b := range map[string]string{
			"PEM": text, "JSON": fmt.Sprintf("%q", text), "DER": string(der), "hex": hex.EncodeToString(der),
			"base64url": base64.RawURLEncoding.EncodeToString(der), "Go": fmt.Sprintf("%#v", text),
		} {
			if !s.in(unbroken([]byte("before " + b + " after"))) {
				t.Errorf("%s is not found as %s", name, form)
			}
		}
		public, err := x509.MarshalPKIXPublicKey(key.(crypto.Signer).Public())
		if err != nil {
			t.Fatal(err)
		}
		if s.in(unbroken(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))) {
			t.Errorf("%s: a public key is taken for its private one", name)
		}
	}
	if s := textSecret("token", "hvs.AAAAAQexample"); !s.in([]byte("token=hvs.AAAAAQexample.")) || s.in([]byte("hvs.A")) {
		t.Error("a token is not found, or found where it is not")
	}

	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.settings("")
	w.certroll(0, "apply", "-auto-approve")
	if w.secrets(); w.keysSought < 2 {
		t.Errorf("%d private keys are sought, want the certificate's and the account's", w.keysSought)
	}
	sought := func(place, text string) bool {
		for p, b := range w.left() {
			if strings.Contains(p, place) && bytes.Contains(b, []byte(text)) {
				return true
			}
		}
		return false
	}
	if !sought("the objects of "+w.repo, `"operation":"issue"`) || !sought(w.said, "will be issued") {
		t.Error("the ledger's objects, or what certroll printed, is not looked at")
	}
	for what, text := range map[string]string{"private key": w.secret("tls/api")["private_key"], "credential": w.nameserver.secret} {
		planted := filepath.Join(w.tmp, "planted")
		if err := os.WriteFile(planted, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if len(w.leaks()) == 0 {
			t.Errorf("a %s in a temporary file is not found", what)
		}
		if err := os.Remove(planted); err != nil {
			t.Fatal(err)
		}
	}
}
