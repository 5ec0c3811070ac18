package gitsync

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Auth is how to log in to a remote. The zero value logs in nowhere, which is
// enough for local paths and public repositories over HTTPS; over SSH it means
// the agent.
type Auth struct {
	// Username and Token are HTTP basic authentication. An empty Username is
	// sent as "git", which the well-known hosts take beside any token.
	Username, Token string
	// TokenFile is a file that holds the token instead. It is read anew for
	// each conversation, since tokens are rotated under a running process.
	TokenFile string
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
	TokenFile      string `json:"token_file,omitempty"`
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
		Username: a.Username, Token: hide(a.Token), TokenFile: a.TokenFile,
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

// currentToken is the token to log in with now.
func (a Auth) currentToken() (string, error) {
	if a.TokenFile == "" {
		return a.Token, nil
	}
	doing := "reading the Git token " + a.TokenFile
	b, err := readFile(a.TokenFile)
	if err != nil {
		return "", &Error{Kind: Invalid, Doing: doing, Detail: reason(err), Advice: "let this user read it, or mend token_file", Err: err}
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", invalid(doing, "it is empty", "put the token there")
	}
	return token, nil
}

// redactor strikes secrets out of text that comes from outside. It is safe to
// use side by side.
type redactor struct {
	user    string
	mu      sync.Mutex
	secrets []string
}

// newRedactor knows the secrets of a in the forms a server may echo them.
func newRedactor(a Auth) *redactor {
	r := &redactor{user: a.user()}
	r.learn(a.Token)
	r.add(a.SSHKeyPassphrase)
	return r
}

// learn adds a token; those of before stay, since a server may still have them.
func (r *redactor) learn(token string) {
	r.add(token)
	if token != "" {
		r.keep(base64.StdEncoding.EncodeToString([]byte(r.user + ":" + token)))
	}
}

func (r *redactor) add(secret string) {
	r.keep(secret)
	r.keep(url.QueryEscape(secret))
	r.keep(url.PathEscape(secret))
}

func (r *redactor) keep(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// One or two characters would strike half of any text.
	if len(s) <= 2 || slices.Contains(r.secrets, s) {
		return
	}
	r.secrets = append(r.secrets, s)
	// What contains another goes before it, or its rest would stay.
	slices.SortStableFunc(r.secrets, func(a, b string) int { return len(b) - len(a) })
}

func (r *redactor) strike(s string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, secret := range r.secrets {
		s = strings.ReplaceAll(s, secret, struck)
	}
	return s
}
