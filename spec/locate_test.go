package spec

import "testing"

func TestLocator(t *testing.T) {
	files := []File{{"certs.hcl", []byte(`certificate "other" {
  domains = ["other.example.com"]
}
certificate "api" {
  domains = ["api.example.com"]
  key {
    curve    = "P-384"
    rotation = "never"
  }
  vault {
  }
}
`)}, {"broken.hcl", []byte("certificate {")}}
	l := NewLocator(files)
	header := l.body("certs.hcl").Blocks[1].DefRange()
	for field, want := range map[string][2]int{
		"domains": {5, 3}, "key": {6, 3}, "key.rotation": {8, 5}, "key.max_age": {6, 3}, "vault.path": {10, 3},
		"issuer": {4, 1}, "renewal.auto": {4, 1}, "domains.0": {5, 3}, "": {4, 1},
	} {
		if at := l.Setting(header, field); at.Start.Line != want[0] || at.Start.Column != want[1] || at.Filename != "certs.hcl" {
			t.Errorf("%q stands at %s, want %v", field, at, want)
		}
	}
	for name, l := range map[string]*Locator{"no files": nil, "others": NewLocator(nil)} {
		if at := l.Setting(header, "domains"); at != header {
			t.Errorf("%s: %s", name, at)
		}
	}
	header.Filename = "broken.hcl"
	if at := l.Setting(header, "domains"); at != header {
		t.Errorf("a broken file: %s", at)
	}
}
