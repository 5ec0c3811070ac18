package remote

import (
	"path/filepath"
	"strings"
	"testing"

	"certroll/gitsync/fault"
	"certroll/gitsync/gitsynctest"
)

func TestParseLocation(t *testing.T) {
	here, err := filepath.Abs("here/repo.git")
	gitsynctest.Must(t, err)
	tests := map[string]struct{ shown, user, password string }{
		"https://git.example.com/a/b.git":         {shown: "https://git.example.com/a/b.git"},
		"HTTPS://git.example.com:8443/a":          {shown: "https://git.example.com:8443/a"},
		"https://u:p%40ss@git.example.com/a":      {shown: "https://git.example.com/a", user: "u", password: "p@ss"},
		"http://[::1]:8080/a%20b":                 {shown: "http://[::1]:8080/a%20b"},
		"https://[2001:db8::1]/a":                 {shown: "https://[2001:db8::1]/a"},
		"ssh://git@git.example.com/a/b.git":       {shown: "ssh://git@git.example.com/a/b.git"},
		"ssh://bob:pw@git.example.com:2222/~bob/": {shown: "ssh://bob@git.example.com:2222/~bob/"},
		"ssh://git.example.com/a":                 {shown: "ssh://git@git.example.com/a"},
		"git@git.example.com:a/b.git":             {shown: "ssh://git@git.example.com/a/b.git"},
		"git.example.com:a":                       {shown: "ssh://git@git.example.com/a"},
		"git@[2001:db8::1]:a":                     {shown: "ssh://git@[2001:db8::1]/a"},
		"/srv/git/a.git":                          {shown: "/srv/git/a.git"},
		"file:///srv/git/a.git":                   {shown: "/srv/git/a.git"},
		"file:///srv/a%20b.git":                   {shown: "/srv/a b.git"},
		"here/repo.git":                           {shown: here},
		"./here/repo.git":                         {shown: here},
		"./a:b":                                   {shown: filepath.Join(filepath.Dir(filepath.Dir(here)), "a:b")},
	}
	for raw, want := range tests {
		t.Run(raw, func(t *testing.T) {
			loc, user, password, err := parseLocation(raw)
			gitsynctest.Must(t, err)
			if loc.String() != want.shown || user != want.user || password != want.password {
				t.Errorf("got %s, %q, %q", loc, user, password)
			}
		})
	}
}

func TestParseLocationErrors(t *testing.T) {
	tests := map[string]struct{ url, want string }{
		"empty":           {"", "it is empty"},
		"other scheme":    {"ftp://git.example.com/a", `the scheme "ftp" is not spoken here`},
		"no host":         {"https:///a", "names no host"},
		"no SSH host":     {"ssh:///a", "names no host"},
		"not an URL":      {"https://u:hunter2hunter2@git.example.com:x/a", "cannot be parsed"},
		"port too large":  {"https://u:hunter2hunter2@git.example.com:99999/a", "port"},
		"control letters": {"https://u:hunter2hunter2@git.example.com/\x7f", "cannot be parsed"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := parseLocation(tc.url)
			gitsynctest.Failure(t, err, fault.Invalid, "reading the repository's URL", tc.want)
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the password is shown: %v", err)
			}
		})
	}
}
