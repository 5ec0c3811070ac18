package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"certroll/gitsync/fault"
	"certroll/gitsync/objects"
	"certroll/gitsync/packfile"
)

// Explain converts an error of a transport into a fault.Error about the operation doing. It
// drops the cause if the cause may hold a secret.
func (r *Remote) Explain(ctx context.Context, doing string, err error) error {
	// First, because after the end of ctx a transport returns arbitrary errors.
	if e := fault.OfContext(ctx, doing); e != nil {
		return e
	}
	var ours *fault.Error
	if errors.As(err, &ours) {
		if ours.Doing == doing || strings.HasPrefix(ours.Doing, doing+": ") {
			return ours
		}
		renamed := *ours
		renamed.Doing = doing + ": " + ours.Doing
		return &renamed
	}
	e := &fault.Error{Doing: doing}
	var said *SaidError
	if errors.As(err, &said) {
		e.Said = fault.Lines(r.strike.Strike(said.Said))
		err = said.Err
	}
	if objects.IsCacheError(err) { // the error is about the local disk, not the remote
		return &fault.Error{Kind: fault.Failed, Doing: doing, Detail: fault.Reason(err), Advice: fault.DiskAdvice(err), Err: err}
	}
	err = unpack(err)
	var line *pktline.ErrorLine
	if errors.As(err, &line) {
		e.Said = append(e.Said, fault.Lines(r.strike.Strike(line.Text))...)
	}
	e.Kind = kindOf(err, e.Said)
	r.describe(e, err)
	if unknown := new(x509.UnknownAuthorityError); errors.As(err, unknown) {
		e.Err = *unknown // other causes may quote a secret; init looks for this one
	}
	return e
}

// unpack removes go-git's wrappers that have no Unwrap method.
func unpack(err error) error {
	var unexpected *plumbing.UnexpectedError
	var permanent *plumbing.PermanentError
	switch {
	case errors.As(err, &unexpected):
		return unexpected.Err
	case errors.As(err, &permanent):
		return permanent.Err
	}
	return err
}

// phrases are texts of the well-known servers, on stderr or in the protocol, for errors
// without a code. They are in lower case.
var phrases = []struct {
	text string
	kind fault.Kind
}{
	{"not our ref", fault.RefNotFound},                           // git, a commit that is not there
	{"does not appear to be a git repository", fault.NotFound},   // git
	{"repository not found", fault.NotFound},                     // GitHub
	{"repository does not exist", fault.NotFound},                // Bitbucket, Gogs
	{"no such repository", fault.NotFound},                       // git daemon
	{"could not be found", fault.NotFound},                       // GitLab
	{"cannot find repository", fault.NotFound},                   // Gitea
	{"permission denied", fault.Denied},                          // sshd, git
	{"access denied", fault.Denied},                              //
	{"authentication failed", fault.Denied},                      //
	{"not authorized", fault.Denied},                             //
	{"not allowed", fault.Denied},                                // GitLab
	{"detected dubious ownership", fault.Denied},                 // git, another user's repository
	{"unable to authenticate", fault.Denied},                     // x/crypto/ssh
	{"ssh: handshake failed: eof", fault.Unreachable},            // an overloaded server
	{"response to channel open: <nil>", fault.Unreachable},       // x/crypto/ssh, on a lost connection
	{"connection reset by peer", fault.Unreachable},              //
	{"the remote end hung up unexpectedly", fault.Unreachable},   //
	{"unexpected eof", fault.Unreachable},                        //
	{"use of closed network connection", fault.Unreachable},      //
	{"too many authentication failures", fault.Denied},           //
	{"no supported methods remain", fault.Denied},                //
	{"could not read from remote repository", fault.Denied},      //
	{"server gave http response to https client", fault.Invalid}, // net/http
}

// otherHash matches go-git's error for refs with hashes of 64 digits (SHA-256): go-git
// reads 40 digits, and finds the other 24 in the place of a space.
var otherHash = regexp.MustCompile(`no space after hash\W+[0-9a-f]{24} `)

// kindOf returns the kind of an error: first by its type, then by its text.
func kindOf(err error, said []string) fault.Kind {
	var netErr net.Error
	switch {
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return fault.NotFound
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed), errors.As(err, new(*pageError)):
		return fault.Denied
	case otherHash.MatchString(err.Error()):
		return fault.Invalid
	case errors.Is(err, packfile.ErrTooLarge):
		return fault.TooLarge
	}
	text := strings.ToLower(strings.Join(said, "\n") + "\n" + err.Error())
	for _, p := range phrases {
		if strings.Contains(text, p.text) {
			return p.kind
		}
	}
	if errors.As(err, &netErr) || errors.Is(err, packp.ErrEmptyInput) || errors.Is(err, io.ErrUnexpectedEOF) || isServerFault(err) {
		return fault.Unreachable
	}
	return fault.Failed
}

// isServerFault reports an HTTP answer after which a later request may succeed.
func isServerFault(err error) bool {
	var answer *githttp.Err
	return errors.As(err, &answer) &&
		(answer.StatusCode() >= 500 || answer.StatusCode() == http.StatusTooManyRequests)
}

// describe sets detail and advice for the error's kind.
func (r *Remote) describe(e *fault.Error, err error) {
	e.Detail = r.detail(err)
	switch e.Kind {
	case fault.NotFound:
		e.Detail = ""
		e.Advice = "check the URL, and that these credentials may see it: many hosts say this of a private repository"
		if r.Location.IsLocal() {
			e.Advice = "check the path, and that this user may read it"
		}
	case fault.RefNotFound:
		e.Advice = "check the commit's hash, and that a branch or tag that was pushed leads to it"
	case fault.Denied:
		e.Advice = r.adviseDenied()
	case fault.TooLarge:
		e.Advice = "take what is too large out of this branch and push, or keep the certificates in a repository of their own"
	case fault.Unreachable, fault.Invalid, fault.Failed:
		e.Advice = r.adviseReach(err)
	}
}

// adviseDenied returns the next step after a failed login.
func (r *Remote) adviseDenied() string {
	switch r.Location.scheme {
	case overHTTP, overHTTPS:
		return "check that the token is current, belongs to this user name, and has the right to this repository (contents: read, or write to push)"
	case overSSH:
		return "check that the public half of the key is registered at " + r.Location.host + " as a deploy key, with write access to push"
	default:
		return "check who owns the path and who this process runs as (git's safe.directory)"
	}
}

// adviseReach returns the next step for an unreachable remote and for all other errors.
func (r *Remote) adviseReach(err error) string {
	var unknown x509.UnknownAuthorityError
	var verification *tls.CertificateVerificationError
	switch {
	case otherHash.MatchString(err.Error()):
		return "use a repository with SHA-1 object names (git init --object-format=sha1)"
	case errors.As(err, &unknown), errors.As(err, &verification):
		return "if the server's certificate is from a private CA, name the file of that CA's certificate in ca_bundle of the auth block"
	case errors.Is(err, os.ErrNotExist), r.Location.IsLocal():
		return ""
	}
	return "check that " + r.Location.address(map[scheme]int{overHTTP: 80, overHTTPS: 443, overSSH: sshPort}[r.Location.scheme]) +
		" can be reached from here"
}

// detail returns the error's text without secrets, HTML pages and go-git's prefixes.
func (r *Remote) detail(err error) string {
	var answer *githttp.Err
	var page *pageError
	text := err.Error()
	switch {
	case errors.As(err, &page):
		text = page.Error()
	case otherHash.MatchString(text):
		text = objects.OtherNames("SHA256")
	case errors.As(err, &answer):
		text = answer.Response.Status + ": " + answer.Reason
	case errors.Is(err, packp.ErrEmptyInput), errors.Is(err, io.ErrUnexpectedEOF):
		text = "it closed the connection"
	}
	// Cut off an HTML page.
	if i := strings.IndexByte(text, '<'); i >= 0 && strings.Contains(text[i:], ">") {
		text = text[:i]
	}
	parts := fault.Lines(r.strike.Strike(text))
	return strings.TrimRight(strings.Join(parts, " / "), ": ")
}
