package daemon

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"certroll/cmd/certroll/settings"
)

// TestSharedSecretsThatCannotMatch: a line break at the end of a secret is reported with the variable's name and
// without the value. It is an error for a credential that certroll sends, and a warning for a secret that certroll only
// compares.
func TestSharedSecretsThatCannotMatch(t *testing.T) {
	const value = "0123456789abcdef-s3cr3t\n"
	for _, name := range []string{"GIT_TOKEN", "HOOK", "LISTEN"} {
		t.Setenv(name, value)
	}
	_, err := (&settings.GitAuth{TokenEnv: "GIT_TOKEN"}).Auth()
	if err == nil || !strings.Contains(err.Error(), "GIT_TOKEN ends in a line break") || strings.Contains(err.Error(), "s3cr3t") {
		t.Error(err)
	}
	var log bytes.Buffer
	s := &settings.Settings{ListenTokenEnv: "LISTEN", Webhooks: []*settings.Webhook{{Kind: "github", SecretEnv: "HOOK"}}}
	warnOfSecrets(s, slog.New(slog.NewTextHandler(&log, nil)))
	for _, name := range []string{"HOOK", "LISTEN"} {
		if !strings.Contains(log.String(), "the environment variable "+name+" ends in a line break") {
			t.Errorf("nothing of %s:\n%s", name, log.String())
		}
	}
	if strings.Contains(log.String(), "s3cr3t") {
		t.Errorf("it tells the secret:\n%s", log.String())
	}
}
