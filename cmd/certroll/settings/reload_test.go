package settings

import (
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
)

// TestReloadKeepsPairs: while a new address waits for a restart, the credentials for it wait too.
func TestReloadKeepsPairs(t *testing.T) {
	const before, after = "https://old.example.com/a.git", "https://new.example.com/a.git"
	here, there := "192.0.2.1:9464", "127.0.0.1:9464"
	settingsOf := func(url, token, listen, listenToken string) *Settings {
		s := &Settings{Repo: &Repo{URL: url, Auth: &GitAuth{TokenFile: token}}, Listen: &listen, ListenTokenFile: listenToken}
		s.fill()
		s.complete(hcl.Range{})
		return s
	}
	for name, tc := range map[string]struct {
		now                *Settings
		token, listenToken string
		restart            string
	}{
		"nothing":               {settingsOf(before, "old", here, "old"), "old", "old", ""},
		"the credentials alone": {settingsOf(before, "new", here, "new"), "new", "new", "ledger"},
		"host and credentials":  {settingsOf(after, "new", here, "old"), "old", "old", "repo.auth repo.url ledger"},
		"the host alone":        {settingsOf(after, "old", here, "old"), "old", "old", "repo.url ledger"},
		"listen and its token":  {settingsOf(before, "old", there, ""), "old", "old", "listen_token_file listen"},
		"the token alone":       {settingsOf(before, "old", here, ""), "old", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			old := settingsOf(before, "old", here, "old")
			restart := strings.Join(tc.now.KeepFixed(old), " ")
			if tc.now.Repo.URL != before || tc.now.Ledger.URL != before || *tc.now.Listen != here {
				t.Errorf("the addresses are %s, %s, %s", tc.now.Repo.URL, tc.now.Ledger.URL, *tc.now.Listen)
			}
			if got := tc.now.Repo.Auth.TokenFile; got != tc.token || tc.now.Ledger.Auth.TokenFile != "old" {
				t.Errorf("the tokens are %s, and the ledger's %s", got, tc.now.Ledger.Auth.TokenFile)
			}
			if tc.now.ListenTokenFile != tc.listenToken || restart != tc.restart {
				t.Errorf("requests show %q; a restart is needed for %q", tc.now.ListenTokenFile, restart)
			}
		})
	}
}
