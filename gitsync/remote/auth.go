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
	// CABundleFile is a file that holds them instead. It is read anew for each
	// conversation.
	CABundleFile string
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
	b, err := bounded.NamedFile(a.TokenFile)
	if err != nil {
		return "", &fault.Error{Kind: fault.Invalid, Doing: doing, Detail: fault.Reason(err), Advice: "let this user read it, or mend token_file", Err: err}
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", fault.BadSetting(doing, "it is empty", "put the token there")
	}
	if why := credential.Fault(token, credential.Token); why != "" {
		return "", fault.BadSetting(doing, "it "+why, "write the token alone, as UTF-8 text")
	}
	return token, nil
}

// currentBundle is the CA bundle to trust now.
func (a Auth) currentBundle() (string, error) {
	if a.CABundleFile == "" {
		return a.CABundle, nil
	}
	b, err := bounded.NamedFile(a.CABundleFile)
	if err != nil {
		return "", &fault.Error{Kind: fault.Invalid, Doing: "reading the CA bundle " + a.CABundleFile, Detail: fault.Reason(err), Advice: "let this user read it, or mend ca_bundle", Err: err}
	}
	if len(b) == 0 {
		return "", fault.BadSetting("reading the CA bundle "+a.CABundleFile, "it is empty", "put the CA's certificate there, in PEM")
	}
	return string(b), nil
}

// redactor strikes secrets out of text that comes from outside. It is safe to
// use side by side.
type redactor struct {
	*redact.Redactor
	user string
}

// newRedactor knows the secrets of a.
func newRedactor(a Auth) *redactor {
	r := &redactor{redact.New(a.SSHKeyPassphrase), a.user()}
	r.learn(a.Token)
	return r
}

// learn adds a token, alone and as HTTP's Basic authentication sends it; those
// of before stay, since a server may still have them.
func (r *redactor) learn(token string) {
	if token != "" {
		r.Add(token, r.user+":"+token)
	}
}
