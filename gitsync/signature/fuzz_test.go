package signature

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"golang.org/x/crypto/ssh"
)

// FuzzParseSigned: a commit that the parser accepts has one reading: its parts assemble to the same bytes, and go-git
// sees the same tree.
func FuzzParseSigned(f *testing.F) {
	const commit = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nparent 5555555555555555555555555555555555555555\n" +
		"author Ada <ada@example.com> 1700000000 +0100\ncommitter Ada <ada@example.com> 1700000000 +0100\n" +
		"gpgsig -----BEGIN SSH SIGNATURE-----\n AAAA\n -----END SSH SIGNATURE-----\n\nChange it\n"
	f.Add([]byte(commit))
	f.Add([]byte(strings.Replace(commit, "\n\n", "\nencoding x\nHG:rename a b\nmergetag object x\n y\n\n", 1)))
	f.Add([]byte(strings.Replace(commit, "gpgsig", "gpgsig-sha256", 1)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := parseSigned(raw)
		if err != nil {
			return
		}
		if again, err := parseSigned(s.payload); err != nil || again.signature != nil || !bytes.Equal(again.payload, s.payload) {
			t.Errorf("the payload of %q is %q, which is no unsigned commit: %v", raw, s.payload, err)
		}
		if s.signature == nil && !bytes.Equal(s.payload, raw) {
			t.Errorf("%q is not signed, and its payload is %q", raw, s.payload)
		}
		if _, err := armored(strings.TrimRight(string(s.signature), " \n")); err == nil && !bytes.HasPrefix(s.signature, []byte("-----BEGIN ")) {
			t.Errorf("%q is armored", s.signature)
		}
		obj := &plumbing.MemoryObject{}
		obj.SetType(plumbing.CommitObject)
		_, _ = obj.Write(raw)
		c := &object.Commit{}
		if err := c.Decode(obj); err == nil && c.TreeHash != s.tree {
			t.Errorf("go-git sees the tree %s, certroll %s in %q", c.TreeHash, s.tree, raw)
		}
	})
}

// FuzzAllowedSigners: every line either fails or gives a key.
func FuzzAllowedSigners(f *testing.F) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
	for _, line := range []string{"a@example.com " + key, "\"a b\" cert-authority,namespaces=\"git,file\",valid-after=\"20240101Z\" " + key, "# x", "a " + key + "\nb"} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		signers, err := parseAllowedSigners(text)
		if err != nil && signers != nil {
			t.Error("signers with an error")
		}
		for _, s := range signers {
			if s.key == nil || len(s.principals) == 0 {
				t.Errorf("%q gives %+v", text, s)
			}
			if reason, ok := s.lets(s.key, time.Unix(1, 0)); ok && (s.authority || reason != "") {
				t.Errorf("%q: the authority itself may sign", text)
			}
			_ = ssh.FingerprintSHA256(s.key)
		}
	})
}
