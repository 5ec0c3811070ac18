package signature

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"certroll/gitsync/gitsynctest"
)

// judged verifies bytes as a commit with the right hash and returns the result as text.
func judged(g *Signers, raw []byte) string {
	if _, err := g.Verify(plumbing.ComputeHash(plumbing.CommitObject, raw), raw); err != nil {
		return err.Error()
	}
	return "good"
}

func expect(t *testing.T, g *Signers, raw []byte, want string) {
	t.Helper()
	if got := judged(g, raw); want == "good" && got != want || !strings.Contains(got, want) {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// TestVerifySHA1: certroll rejects SHA-1 signatures, also by a certified key. OpenSSH accepts none and ssh-keygen makes
// none, whatever the libraries permit.
func TestVerifySHA1(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	gitsynctest.Must(t, err)
	key, err := ssh.NewSignerFromKey(private)
	gitsynctest.Must(t, err)
	certified := func(algorithm string) ssh.PublicKey {
		cert := &ssh.Certificate{Key: key.PublicKey(), CertType: ssh.UserCert, ValidPrincipals: []string{"ada@example.com"}, ValidBefore: ssh.CertTimeInfinity}
		authority, err := ssh.NewSignerWithAlgorithms(key.(ssh.AlgorithmSigner), []string{algorithm})
		gitsynctest.Must(t, err)
		gitsynctest.Must(t, cert.SignCert(rand.Reader, authority))
		return cert
	}
	public := string(ssh.MarshalAuthorizedKey(key.PublicKey()))
	file := filepath.Join(t.TempDir(), "allowed")
	gitsynctest.Must(t, os.WriteFile(file, []byte("ada@example.com "+public+"ada@example.com cert-authority "+public), 0o600))
	head := "tree " + strings.Repeat("1", 40) + "\nauthor Ada <ada@example.com> 1700000000 +0000\ncommitter Ada <ada@example.com> 1700000000 +0000\n"
	sum := sha512.Sum512([]byte(head + "\nChange it\n"))
	signed := append([]byte("SSHSIG"), ssh.Marshal(struct{ Namespace, Reserved, Hash, Sum string }{"git", "", "sha512", string(sum[:])})...)
	plain, good, bad := key.PublicKey(), certified(ssh.KeyAlgoRSASHA512), certified(ssh.KeyAlgoRSA)
	for _, tc := range []struct {
		by              ssh.PublicKey
		algorithm, want string
	}{
		{plain, ssh.KeyAlgoRSASHA512, "good"}, {plain, ssh.KeyAlgoRSASHA256, "good"}, {plain, ssh.KeyAlgoRSA, `invalid signature format "ssh-rsa"`},
		{good, ssh.KeyAlgoRSASHA512, "good"}, {good, ssh.KeyAlgoRSA, "its SSH signature is by SHA-1"}, {bad, ssh.KeyAlgoRSASHA512, "signed a certificate by SHA-1"},
	} {
		sig, err := key.(ssh.AlgorithmSigner).SignWithAlgorithm(rand.Reader, signed, tc.algorithm)
		gitsynctest.Must(t, err)
		armor := sshsig.Armor(&sshsig.Signature{Version: 1, PublicKey: tc.by, Namespace: "git", HashAlgorithm: sshsig.HashSHA512, Signature: sig})
		header := "gpgsig " + strings.ReplaceAll(strings.TrimSuffix(string(armor), "\n"), "\n", "\n ") + "\n"
		expect(t, &Signers{AllowedSigners: file}, []byte(head+header+"\nChange it\n"), tc.want)
	}
}

// TestVerifySSH checks signatures by git and ssh-keygen, and signatures that those programs reject.
func TestVerifySSH(t *testing.T) {
	s := gitsynctest.NewSigner(t)
	ada, eve := s.SSHKey("ada"), s.SSHKey("eve")
	rsa := s.SSHKey("rsa", "-t", "rsa", "-b", "2048")
	weak := s.SSHKey("weak", "-t", "rsa", "-b", "1024")
	signed := s.Commit("one", nil, gitsynctest.BySSH(s.Path("ada"))...)
	at := func(when string) []string { return []string{"GIT_COMMITTER_DATE=" + when} }
	of2024 := s.Commit("two", at("2024-06-01T12:00:00Z"), gitsynctest.BySSH(s.Path("ada"))...)
	byRSA := s.Commit("three", nil, gitsynctest.BySSH(s.Path("rsa"))...)
	byWeak := s.Commit("four", nil, gitsynctest.BySSH(s.Path("weak"))...)
	plain := s.Commit("five", nil)

	tests := map[string]struct {
		signers, commit, want string
	}{
		"allowed":                    {"ada@example.com " + ada, signed, "good"},
		"comments and other keys":    {"# ours\n\nx@example.com " + eve + "\n\tada@example.com,b@example.com namespaces=\"file,git\" " + ada, signed, "good"},
		"principals in quotes":       {"\"ada@example.com\" " + ada, signed, "good"},
		"an RSA key":                 {"* " + rsa, byRSA, "good"},
		"somebody else's":            {"eve@example.com " + eve, signed, "is not in"},
		"nobody's":                   {"", signed, "is not in"},
		"not signed":                 {"ada@example.com " + ada, plain, "the commit is not signed"},
		"another namespace":          {"ada@example.com namespaces=\"file\" " + ada, signed, "may not sign for \"git\""},
		"not this namespace":         {"ada@example.com namespaces=\"*,!git\" " + ada, signed, "may not sign for \"git\""},
		"valid when it was made":     {"a@example.com valid-after=\"20240101Z\",valid-before=\"202501010000Z\" " + ada, of2024, "good"},
		"expired":                    {"a@example.com valid-before=\"20240601115959Z\" " + ada, of2024, "was valid until 2024-06-01T11:59:59Z, and the commit is of 2024-06-01T12:00:00Z"},
		"not yet valid":              {"a@example.com Valid-After=\"20240602Z\" " + ada, of2024, "valid only from 2024-06-02"},
		"expired, but on two lines":  {"a@example.com valid-before=\"20240101Z\" " + ada + "\nb@example.com " + ada, of2024, "good"},
		"a plain key as authority":   {"a@example.com cert-authority " + ada, signed, "is not in"},
		"an option of the future":    {"a@example.com only-on-sundays " + ada, signed, "line 1: the option \"only-on-sundays\" is not known"},
		"a time that is none":        {"a@example.com valid-after=\"soon\" " + ada, signed, "\"soon\" is no time"},
		"no key":                     {"# one\na@example.com " + strings.Fields(ada)[1], signed, "line 2: after the principals there is no public key"},
		"a weak key that is allowed": {"a@example.com " + weak, signed, "has 1024 bits"},
		"a weak key":                 {"a@example.com " + ada, byWeak, "has 1024 bits"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "allowed")
			gitsynctest.Must(t, os.WriteFile(file, []byte(test.signers), 0o600))
			expect(t, &Signers{AllowedSigners: file}, s.Raw(test.commit), test.want)
			if test.want == "good" { // git agrees
				s.Run("git", "-c", "gpg.format=ssh", "-c", "gpg.ssh.allowedSignersFile="+file, "verify-commit", test.commit)
			}
		})
	}
	expect(t, &Signers{AllowedSigners: s.Path("nowhere")}, s.Raw(signed), "no such file")
	expect(t, &Signers{Keyring: "x"}, s.Raw(signed), "no file of allowed signers is set")
}

// TestVerifyCertificate checks keys certified by an authority.
func TestVerifyCertificate(t *testing.T) {
	s := gitsynctest.NewSigner(t)
	ca, other := s.SSHKey("ca"), s.SSHKey("other")
	certify := func(name, principal, validity string, more ...string) string {
		s.SSHKey(name)
		s.Run("ssh-keygen", append([]string{"-q", "-s", "ca", "-I", name, "-n", principal, "-V", validity}, append(more, name+".pub")...)...)
		return s.Commit(name, nil, gitsynctest.BySSH(s.Path(name+"-cert.pub"))...)
	}
	good := certify("good", "good@example.com", "+1d")
	old := certify("old", "old@example.com", "20200101:20200201")
	host := certify("host", "host@example.com", "+1d", "-h")
	tests := map[string]struct{ signers, commit, want string }{
		"of the authority":      {"*@example.com cert-authority " + ca, good, "good"},
		"of another authority":  {"*@example.com cert-authority " + other, good, "is not in"},
		"for another principal": {"*@example.net cert-authority " + ca, good, "none of the principals"},
		"expired":               {"*@example.com cert-authority " + ca, old, "expired"},
		"a host's":              {"*@example.com cert-authority " + ca, host, "not a user's"},
		"the authority's key":   {"*@example.com " + ca, good, "is not in"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "allowed")
			gitsynctest.Must(t, os.WriteFile(file, []byte(test.signers), 0o600))
			expect(t, &Signers{AllowedSigners: file}, s.Raw(test.commit), test.want)
		})
	}
}

// TestVerifyOpenPGP checks signatures by git and gpg.
func TestVerifyOpenPGP(t *testing.T) {
	s := gitsynctest.NewSigner(t)
	ada, eve := s.GPGKey("ada", "never"), s.GPGKey("eve", "never")
	lapsed := s.GPGKey("lapsed", "2d")
	revoked := s.GPGKey("revoked", "never")
	signed := s.Commit("one", nil, gitsynctest.ByGPG(ada)...)
	byLapsed := s.Commit("two", nil, gitsynctest.ByGPG(lapsed)...)
	byRevoked := s.Commit("three", nil, gitsynctest.ByGPG(revoked)...)
	keyring := s.Export("keyring.asc", ada, lapsed, revoked)
	revocation, err := os.ReadFile(s.Path(filepath.Join("openpgp-revocs.d", revoked+".rev")))
	gitsynctest.Must(t, err)
	s.Feed(nil, []byte(strings.Replace(string(revocation), ":-----BEGIN", "-----BEGIN", 1)), "gpg", "--batch", "--quiet", "--import")
	afterwards := s.Export("afterwards.asc", ada, revoked)
	both := s.Write("both.asc", s.Run("gpg", "--batch", "--armor", "--export", eve)+"\n"+s.Run("gpg", "--batch", "--armor", "--export", ada)+"\n")
	s.Run("gpg", "--batch", "--output", s.Path("binary.gpg"), "--export", ada)
	later := func() time.Time { return time.Now().Add(72 * time.Hour) }

	tests := map[string]struct {
		g      Signers
		commit string
		want   string
	}{
		"in the keyring":       {Signers{Keyring: keyring}, signed, "good"},
		"in a binary keyring":  {Signers{Keyring: s.Path("binary.gpg")}, signed, "good"},
		"in the second block":  {Signers{Keyring: both}, signed, "good"},
		"not in the keyring":   {Signers{Keyring: s.Export("eve.asc", eve)}, signed, "is not in"},
		"not expired yet":      {Signers{Keyring: keyring}, byLapsed, "good"},
		"expired":              {Signers{Keyring: keyring, Now: later}, byLapsed, "has expired"},
		"not revoked yet":      {Signers{Keyring: keyring}, byRevoked, "good"},
		"revoked":              {Signers{Keyring: afterwards}, byRevoked, "was revoked"},
		"no keyring":           {Signers{AllowedSigners: "x"}, signed, "no keyring is set"},
		"keyring not there":    {Signers{Keyring: s.Path("nowhere")}, signed, "no such file"},
		"keyring is something": {Signers{Keyring: s.Write("text", "hello")}, signed, "text: openpgp"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { expect(t, &test.g, s.Raw(test.commit), test.want) })
	}

	t.Run("over text", func(t *testing.T) {
		raw := s.Raw(s.Commit("text", nil))
		sig := s.Feed(nil, raw, "gpg", "--batch", "--armor", "--textmode", "--detach-sign", "-u", ada)
		expect(t, &Signers{Keyring: keyring}, withSignature(raw, sig), "not one over a commit")
	})
	t.Run("by two keys at once", func(t *testing.T) {
		raw := s.Raw(s.Commit("two keys", nil))
		sig := s.Feed(nil, raw, "gpg", "--batch", "--armor", "--detach-sign", "-u", eve, "-u", ada)
		expect(t, &Signers{Keyring: both}, withSignature(raw, sig), "more than one OpenPGP signature")
	})
	t.Run("as GitHub ends them", func(t *testing.T) {
		raw := s.Raw(s.Commit("an empty line", nil))
		sig := s.Feed(nil, raw, "gpg", "--batch", "--armor", "--detach-sign", "-u", ada)
		expect(t, &Signers{Keyring: keyring}, withSignature(raw, sig+"\n"), "good")
	})
}

// withSignature inserts a signature where git does: after the committer line.
func withSignature(raw []byte, sig string) []byte {
	headers, body, _ := bytes.Cut(raw, []byte("\n\n"))
	return fmt.Appendf(nil, "%s\n%s\n%s", headers, gpgsig("gpgsig", sig), body)
}

func gpgsig(key, sig string) string {
	return key + " " + strings.ReplaceAll(sig, "\n", "\n ") + "\n"
}

// TestVerifyCrafted checks commits that git never writes. Unless the defect is in the signature, each one is signed
// properly.
func TestVerifyCrafted(t *testing.T) {
	s := gitsynctest.NewSigner(t)
	ada := s.SSHKey("ada")
	g := &Signers{AllowedSigners: s.Write("allowed", "ada@example.com "+ada)}
	raw := s.Raw(s.Commit("one", nil))
	sign := func(payload []byte, namespace string) string {
		return s.Feed(nil, payload, "ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", s.Path("ada"))
	}
	// crafted changes the commit and signs the result.
	crafted := func(change func(string) string) []byte {
		payload := []byte(change(string(raw)))
		return withSignature(payload, sign(payload, "git"))
	}
	replace := func(old, with string) func(string) string {
		return func(text string) string {
			if !strings.Contains(text, old) {
				t.Fatalf("%q is not in the commit", old)
			}
			return strings.Replace(text, old, with, 1)
		}
	}
	tree, _, _ := strings.Cut(string(raw), "\n")
	other := strings.Repeat("5", 40)
	good := withSignature(raw, sign(raw, "git"))
	signature := sign(raw, "git")
	tests := map[string]struct {
		raw  []byte
		want string
	}{
		"a good one":              {good, "good"},
		"a message changed":       {bytes.Replace(good, []byte("Change it"), []byte("Change if"), 1), "not one of these bytes"},
		"an author changed":       {bytes.Replace(good, []byte("author Ada"), []byte("author Eve"), 1), "not one of these bytes"},
		"a tree changed":          {bytes.Replace(good, []byte(tree), []byte("tree "+other), 1), "not one of these bytes"},
		"another namespace":       {withSignature(raw, sign(raw, "file")), `made for "file", not for "git"`},
		"two trees":               {crafted(replace("\nauthor", "\ntree "+other+"\nauthor")), "the header author is not where it belongs"},
		"a tree at the end":       {crafted(replace("\n\n", "\ntree "+other+"\n\n")), "the header tree is there twice"},
		"a parent at the end":     {crafted(replace("\n\n", "\nparent "+other+"\n\n")), "the header parent is there twice"},
		"two authors":             {crafted(replace("\ncommitter", "\nauthor Eve <eve@example.com> 1700000000 +0000\ncommitter")), "the header committer is not where it belongs"},
		"an author at the end":    {crafted(replace("\n\n", "\nauthor Eve <eve@example.com> 1700000000 +0000\n\n")), "the header author is there twice"},
		"two committers":          {crafted(replace("\n\n", "\ncommitter Eve <eve@example.com> 1700000000 +0000\n\n")), "the header committer is there twice"},
		"two encodings":           {crafted(replace("\n\n", "\nencoding a\nencoding b\n\n")), "the header encoding is there twice"},
		"no tree":                 {crafted(replace(tree+"\n", "")), "the header tree is not where it belongs"},
		"a tree in capitals":      {crafted(replace(tree, "tree "+strings.Repeat("A", 40))), "names no object"},
		"a short tree":            {crafted(replace(tree, "tree 5555")), "names no object"},
		"a tree continued":        {crafted(replace(tree+"\n", tree+"\n tree "+other+"\n")), "a header that has one line is continued"},
		"an author continued":     {crafted(replace("\ncommitter", "\n <eve@example.com> 1 +0000\ncommitter")), "a header that has one line is continued"},
		"a continuation first":    {append([]byte(" x\n"), good...), "a header that has one line is continued"},
		"NUL in a header":         {crafted(replace("author Ada", "author Ada\x00")), "NUL"},
		"NUL in the message":      {crafted(replace("Change", "Change\x00")), "NUL"},
		"no blank line":           {bytes.SplitAfter(good, []byte("\n\n"))[0][:200], "do not end"},
		"a line without a name":   {crafted(replace("\n\n", "\n\tx\n\n")), "is no header"},
		"carriage returns":        {[]byte(strings.ReplaceAll(string(good), "\n", "\r\n")), "is no header"},
		"two gpgsig":              {twice(good, signature, "gpgsig"), "more than one signature"},
		"gpgsig-sha256":           {twice(good, signature, "gpgsig-sha256"), "gpgsig-sha256"},
		"gpgsig without a blank":  {bytes.Replace(good, []byte("gpgsig "), []byte("gpgsig\n "), 1), "is no header"},
		"two in one header":       {withSignature(raw, signature+"\n"+signature), "more than one signature"},
		"two kinds in one header": {withSignature(raw, "-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n"+signature), "follows it"},
		"garbage behind it":       {withSignature(raw, signature+"\ngarbage"), "follows it"},
		"garbage before it":       {withSignature(raw, "garbage\n"+signature), "not armored"},
		"an empty signature":      {withSignature(raw, ""), "not armored"},
		"cut short":               {withSignature(raw, signature[:len(signature)-5]), "cut short"},
		"S/MIME":                  {withSignature(raw, "-----BEGIN SIGNED MESSAGE-----\nAAAA\n-----END SIGNED MESSAGE-----"), "not known here"},
		"a signature of nothing":  {withSignature(raw, "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----"), "reading its SSH signature"},
		"a signature in the text": {[]byte(string(raw) + "\n" + gpgsig("gpgsig", signature)), "the commit is not signed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { expect(t, g, test.raw, test.want) })
	}
	t.Run("a committer without a time", func(t *testing.T) {
		payload := []byte(committerTime.ReplaceAllString(string(raw), "${1}never"))
		expect(t, g, withSignature(payload, sign(payload, "git")), "its committer has no time")
	})
	t.Run("bytes of another hash", func(t *testing.T) {
		if _, err := g.Verify(plumbing.NewHash(other), good); err == nil || !strings.Contains(err.Error(), "not those that its hash names") {
			t.Error(err)
		}
	})
	t.Run("a merged tag's signature is not the commit's", func(t *testing.T) {
		tagged := crafted(replace("\n\n", "\nmergetag object "+other+"\n type commit\n tag v1\n tagger Ada <ada@example.com> 1 +0000\n \n v1\n -----BEGIN PGP SIGNATURE-----\n \n AAAA\n -----END PGP SIGNATURE-----\n\n"))
		expect(t, g, tagged, "good")
		unsigned := bytes.Replace(tagged, []byte(gpgsig("gpgsig", signature)), nil, 1)
		if bytes.Contains(unsigned, []byte("gpgsig")) {
			unsigned = gpgsigHeader.ReplaceAll(unsigned, nil)
		}
		expect(t, g, unsigned, "the commit is not signed")
	})
}

var gpgsigHeader = regexp.MustCompile(`(?m)^gpgsig .*\n(?: .*\n)*`)

var committerTime = regexp.MustCompile(`(?m)^(committer .*>).*$`)

// twice adds a second signature header under a key.
func twice(good []byte, signature, key string) []byte {
	return []byte(strings.Replace(string(good), "\n\n", "\n"+gpgsig(key, signature)+"\n", 1))
}
