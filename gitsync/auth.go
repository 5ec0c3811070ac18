package gitsync

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
)

// Auth is how to log in to a remote. The zero value logs in nowhere, which is
// enough for local paths and public repositories over HTTPS; over SSH it means
// the agent.
type Auth struct {
	// Username and Token are HTTP basic authentication. An empty Username is
	// sent as "git", which the well-known hosts take beside any token.
	Username, Token string
	// SSHKeyFile is a private key in OpenSSH or PEM form.
	SSHKeyFile, SSHKeyPassphrase string
	// SSHAgent is the agent at $SSH_AUTH_SOCK. A key file goes before it; where
	// there is none, the agent is asked in any case.
	SSHAgent bool
	// KnownHostsFile is consulted instead of ~/.ssh/known_hosts and
	// /etc/ssh/ssh_known_hosts. Host keys are always checked.
	KnownHostsFile string
	// CABundle is PEM certificates trusted for HTTPS besides the system's.
	CABundle string
}

// user is the name sent beside a token.
func (a Auth) user() string {
	if a.Username == "" {
		return "git"
	}
	return a.Username
}

// public is Auth without its secrets.
type public struct {
	Username       string `json:"username,omitempty"`
	Token          string `json:"token,omitempty"`
	SSHKeyFile     string `json:"ssh_key_file,omitempty"`
	SSHPassphrase  string `json:"ssh_key_passphrase,omitempty"`
	SSHAgent       bool   `json:"ssh_agent,omitempty"`
	KnownHostsFile string `json:"known_hosts,omitempty"`
	CABundle       bool   `json:"ca_bundle,omitempty"`
}

const struck = "[redacted]"

func (a Auth) public() public {
	hide := func(s string) string {
		if s == "" {
			return ""
		}
		return struck
	}
	return public{
		Username: a.Username, Token: hide(a.Token),
		SSHKeyFile: a.SSHKeyFile, SSHPassphrase: hide(a.SSHKeyPassphrase), SSHAgent: a.SSHAgent,
		KnownHostsFile: a.KnownHostsFile, CABundle: a.CABundle != "",
	}
}

// String shows no secret.
func (a Auth) String() string { return fmt.Sprintf("%+v", a.public()) }

// Format shows no secret, whatever the verb.
func (a Auth) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(a.String())) }

// LogValue shows no secret.
func (a Auth) LogValue() slog.Value { return slog.StringValue(a.String()) }

// MarshalJSON shows no secret.
func (a Auth) MarshalJSON() ([]byte, error) { return json.Marshal(a.public()) }

// redactor strikes secrets out of text that comes from outside.
type redactor struct{ secrets []string }

// newRedactor knows the secrets of a in the forms a server may echo them.
func newRedactor(a Auth) redactor {
	var r redactor
	add := func(s string) {
		// One or two characters would strike half of any text.
		if len(s) > 2 && !slices.Contains(r.secrets, s) {
			r.secrets = append(r.secrets, s)
		}
	}
	for _, s := range []string{a.Token, a.SSHKeyPassphrase} {
		if s == "" {
			continue
		}
		add(s)
		add(url.QueryEscape(s))
		add(url.PathEscape(s))
	}
	if a.Token != "" {
		add(base64.StdEncoding.EncodeToString([]byte(a.user() + ":" + a.Token)))
	}
	// What contains another goes before it, or its rest would stay.
	slices.SortStableFunc(r.secrets, func(a, b string) int { return len(b) - len(a) })
	return r
}

func (r redactor) strike(s string) string {
	for _, secret := range r.secrets {
		s = strings.ReplaceAll(s, secret, struck)
	}
	return s
}
