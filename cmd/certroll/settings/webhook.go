package settings

import (
	"fmt"
	"os"
	"strings"

	"certroll/spec/bounded"
)

// Webhook is a webhook block of certroll.hcl: a Git host that may report pushes.
type Webhook struct {
	Kind       string `hcl:"kind,label"`
	SecretEnv  string `hcl:"secret_env,optional"`
	SecretFile string `hcl:"secret_file,optional"`
}

// Secret reads the secret. Callers read it for each delivery, so that it can be rotated
// under a running process.
func (w *Webhook) Secret() (string, error) {
	return sharedSecret(fmt.Sprintf("the secret of the webhook %q", w.Kind), "secret", w.SecretEnv, w.SecretFile)
}

// leastSecret is the minimum length of a shared secret, in characters.
const leastSecret = 16

// sharedSecret reads a secret from a file, else from the environment. setting is its
// name in certroll.hcl without _env and _file.
func sharedSecret(what, setting, env, file string) (string, error) {
	secret := os.Getenv(env)
	if file != "" {
		b, err := bounded.File(file, bounded.Secret)
		if err != nil {
			return "", fmt.Errorf("reading %s: %w", what, err)
		}
		secret = strings.TrimSpace(string(b))
	}
	if len(secret) < leastSecret {
		return "", fmt.Errorf("%s is not set or has fewer than %d characters: set %s_env or %s_file in certroll.hcl to where a long random one is", what, leastSecret, setting, setting)
	}
	return secret, nil
}
