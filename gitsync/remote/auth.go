package remote

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"

	"certroll/gitsync/fault"
	"certroll/spec/bounded"
	"certroll/spec/credential"
	"certroll/spec/redact"
)

// Auth are the credentials for a remote. The zero value has none, which is enough for local
// paths and for public repositories over HTTPS. Over SSH the zero value means the agent.
type Auth struct {
	// Username and Token are for HTTP basic authentication. An empty Username becomes
	// "git", which the well-known hosts accept with any token.
	Username, Token string
	// TokenFile is the path of a file with the token. certroll reads it for each
	// conversation, because operators rotate tokens while certroll runs.
	TokenFile string
	// SSHKeyFile is the path of a private key in OpenSSH or PEM form, SSHKeyPassphrase its
	// passphrase.
	SSHKeyFile, SSHKeyPassphrase string
	// SSHAgent selects the agent at $SSH_AUTH_SOCK. SSHKeyFile takes precedence. Without a
	// key file certroll uses the agent even if SSHAgent is false.
	SSHAgent bool
	// KnownHostsFile replaces ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts. certroll
	// always checks host keys.
	KnownHostsFile string
	// CABundle are PEM certificates that certroll trusts for HTTPS in addition to the
	// system's.
	CABundle string
	// CABundleFile is the path of a file with such certificates. certroll reads it for each
	// conversation.
	CABundleFile string
}

// user returns the user name to send beside a token.
func (a Auth) user() string {
	if a.Username == "" {
		return "git"
	}
	return a.Username
}

// public is Auth without its secrets, for printing.
type public struct {
	Username       string `json:"username,omitempty"`
	Token          string `json:"token,omitempty"`
	TokenFile      string `json:"token_file,omitempty"`
	SSHKeyFile     string `json:"ssh_key_file,omitempty"`
	SSHPassphrase  string `json:"ssh_key_passphrase,omitempty"`
	SSHAgent       bool   `json:"ssh_agent,omitempty"`
	KnownHostsFile string `json:"known_hosts,omitempty"`
	CABundle       bool   `json:"ca_bundle,omitempty"`
	CABundleFile   string `json:"ca_bundle_file,omitempty"`
}

func (a Auth) public() public {
	hide := func(s string) string {
		if s == "" {
			return ""
		}
		return redact.Struck
	}
	return public{
		Username: a.Username, Token: hide(a.Token), TokenFile: a.TokenFile,
		SSHKeyFile: a.SSHKeyFile, SSHPassphrase: hide(a.SSHKeyPassphrase), SSHAgent: a.SSHAgent,
		KnownHostsFile: a.KnownHostsFile, CABundle: a.CABundle != "", CABundleFile: a.CABundleFile,
	}
}

// String returns the settings without secrets.
func (a Auth) String() string { return fmt.Sprintf("%+v", a.public()) }

// Format writes the settings without secrets, whatever the verb: %+v or %#v would print the
// fields.
func (a Auth) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(a.String())) }

// LogValue returns the settings without secrets.
func (a Auth) LogValue() slog.Value { return slog.StringValue(a.String()) }

// MarshalJSON returns the settings without secrets.
func (a Auth) MarshalJSON() ([]byte, error) { return json.Marshal(a.public()) }

// currentToken returns the token to log in with now.
func (a Auth) currentToken() (string, error) {
	if a.TokenFile == "" {
		return a.Token, nil
	}
	doing := "reading the Git token " + a.TokenFile
	b, err := bounded.NamedFile(a.TokenFile)
	if err != nil {
		return "", &fault.Error{Kind: fault.Invalid, Doing: doing, Detail: fault.Reason(err), Advice: "let this user read it, or fix token_file", Err: err}
	}
	// Editors and echo end the file with a newline.
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", fault.BadSetting(doing, "it is empty", "put the token there")
	}
	if why := credential.Fault(token, credential.Token); why != "" {
		return "", fault.BadSetting(doing, "it "+why, "write the token alone, as UTF-8 text")
	}
	return token, nil
}

// currentBundle returns the CA bundle to trust now.
func (a Auth) currentBundle() (string, error) {
	if a.CABundleFile == "" {
		return a.CABundle, nil
	}
	b, err := bounded.NamedFile(a.CABundleFile)
	if err != nil {
		return "", &fault.Error{Kind: fault.Invalid, Doing: "reading the CA bundle " + a.CABundleFile, Detail: fault.Reason(err), Advice: "let this user read it, or fix ca_bundle", Err: err}
	}
	if len(b) == 0 {
		return "", fault.BadSetting("reading the CA bundle "+a.CABundleFile, "it is empty", "put the CA's certificate there, in PEM")
	}
	return string(b), nil
}

// redactor strikes secrets out of text from outside. It is safe for concurrent use.
type redactor struct {
	*redact.Redactor
	user string
}

// newRedactor returns a redactor that knows the secrets of a.
func newRedactor(a Auth) *redactor {
	r := &redactor{redact.New(a.SSHKeyPassphrase), a.user()}
	r.learn(a.Token)
	return r
}

// learn adds a token, alone and as HTTP basic authentication encodes it. Earlier tokens
// stay: a server may still repeat them.
func (r *redactor) learn(token string) {
	if token != "" {
		r.Add(token, r.user+":"+token)
	}
}
