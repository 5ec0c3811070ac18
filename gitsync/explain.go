package gitsync

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
)

// explain turns whatever a transport returned into an Error. The cause is kept
// only where it can hold no secret.
func (r *remote) explain(ctx context.Context, doing string, err error) error {
	if e := stopped(ctx, doing); e != nil {
		return e
	}
	var ours *Error
	if errors.As(err, &ours) {
		if ours.Doing == doing || strings.HasPrefix(ours.Doing, doing+": ") {
			return ours
		}
		told := *ours
		told.Doing = doing + ": " + ours.Doing
		return &told
	}
	e := &Error{Doing: doing}
	var said *saidError
	if errors.As(err, &said) {
		e.Said = lines(r.strike.Strike(said.said))
		err = said.err
	}
	if isCacheError(err) { // the disk's, not the remote's
		return &Error{Kind: Failed, Doing: doing, Detail: reason(err), Advice: diskAdvice(err), Err: err}
	}
	err = unpack(err)
	var line *pktline.ErrorLine
	if errors.As(err, &line) {
		e.Said = append(e.Said, lines(r.strike.Strike(line.Text))...)
	}
	e.Kind = kindOf(err, e.Said)
	r.describe(e, err)
	return e
}

// unpack takes off go-git's wrappers that do not unwrap by themselves.
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

// phrases are how the well-known servers say on stderr, or in a line of the
// protocol, what has no code. They are lower case.
var phrases = []struct {
	text string
	kind Kind
}{
	{"not our ref", RefNotFound},                           // git, a commit that is not there
	{"does not appear to be a git repository", NotFound},   // git
	{"repository not found", NotFound},                     // GitHub
	{"repository does not exist", NotFound},                // Bitbucket, Gogs
	{"no such repository", NotFound},                       // git daemon
	{"could not be found", NotFound},                       // GitLab
	{"cannot find repository", NotFound},                   // Gitea
	{"permission denied", Denied},                          // sshd, git
	{"access denied", Denied},                              //
	{"authentication failed", Denied},                      //
	{"not authorized", Denied},                             //
	{"not allowed", Denied},                                // GitLab
	{"detected dubious ownership", Denied},                 // git, another user's repository
	{"unable to authenticate", Denied},                     // x/crypto/ssh
	{"ssh: handshake failed: eof", Unreachable},            // a server that is full
	{"response to channel open: <nil>", Unreachable},       // x/crypto/ssh, the connection ended
	{"connection reset by peer", Unreachable},              //
	{"the remote end hung up unexpectedly", Unreachable},   //
	{"unexpected eof", Unreachable},                        //
	{"use of closed network connection", Unreachable},      //
	{"too many authentication failures", Denied},           //
	{"no supported methods remain", Denied},                //
	{"could not read from remote repository", Denied},      //
	{"server gave http response to https client", Invalid}, // net/http
}

// otherHash is what go-git says of a list of refs whose hashes have 64 digits: it
// reads 40 of them, and finds the other 24 where a space should be.
var otherHash = regexp.MustCompile(`no space after hash\W+[0-9a-f]{24} `)

func kindOf(err error, said []string) Kind {
	var netErr net.Error
	switch {
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return NotFound
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed), errors.As(err, new(*pageError)):
		return Denied
	case otherHash.MatchString(err.Error()):
		return Invalid
	case errors.Is(err, errPackTooLarge):
		return TooLarge
	}
	text := strings.ToLower(strings.Join(said, "\n") + "\n" + err.Error())
	for _, p := range phrases {
		if strings.Contains(text, p.text) {
			return p.kind
		}
	}
	if errors.As(err, &netErr) || errors.Is(err, packp.ErrEmptyInput) || errors.Is(err, io.ErrUnexpectedEOF) || serverTrouble(err) {
		return Unreachable
	}
	return Failed
}

// serverTrouble is an HTTP answer after which one comes back later.
func serverTrouble(err error) bool {
	var answer *githttp.Err
	return errors.As(err, &answer) &&
		(answer.StatusCode() >= 500 || answer.StatusCode() == http.StatusTooManyRequests)
}

// describe fills in detail, cause and advice by what kind of error it is.
func (r *remote) describe(e *Error, err error) {
	e.Detail = r.detail(err)
	switch e.Kind {
	case NotFound:
		e.Detail = ""
		e.Advice = "check the URL, and that these credentials may see it: many hosts say this of a private repository"
		if r.loc.isLocal() {
			e.Advice = "check the path, and that this user may read it"
		}
	case RefNotFound:
		e.Advice = "check the commit's hash, and that a branch or tag that was pushed leads to it"
	case Denied:
		e.Advice = r.adviseDenied()
	case TooLarge:
		e.Advice = "take what is too large out of this branch and push, or keep the certificates in a repository of their own"
	case Unreachable, Invalid, Failed:
		e.Advice = r.adviseReach(err)
	}
}

func (r *remote) adviseDenied() string {
	switch r.loc.scheme {
	case overHTTP, overHTTPS:
		return "check that the token is current, belongs to this user name, and has the right to this repository (contents: read, or write to push)"
	case overSSH:
		return "check that the public half of the key is registered at " + r.loc.host + " as a deploy key, with write access to push"
	default:
		return "check who owns the path and who this process runs as (git's safe.directory)"
	}
}

func (r *remote) adviseReach(err error) string {
	var unknown x509.UnknownAuthorityError
	var verification *tls.CertificateVerificationError
	switch {
	case otherHash.MatchString(err.Error()):
		return "use a repository with SHA-1 object names (git init --object-format=sha1)"
	case errors.As(err, &unknown), errors.As(err, &verification):
		return "if the server's certificate is from a private CA, give its certificate as the CA bundle"
	case errors.Is(err, os.ErrNotExist), r.loc.isLocal():
		return ""
	}
	return "check that " + r.loc.address(map[scheme]int{overHTTP: 80, overHTTPS: 443, overSSH: sshPort}[r.loc.scheme]) +
		" can be reached from here"
}

// detail is the error's text without secrets, pages of HTML and go-git's
// prefixes.
func (r *remote) detail(err error) string {
	var answer *githttp.Err
	var page *pageError
	text := err.Error()
	switch {
	case errors.As(err, &page):
		text = page.Error()
	case otherHash.MatchString(text):
		text = otherNames("SHA256")
	case errors.As(err, &answer):
		text = answer.Response.Status + ": " + answer.Reason
	case errors.Is(err, packp.ErrEmptyInput), errors.Is(err, io.ErrUnexpectedEOF):
		text = "it closed the connection"
	}
	if i := strings.IndexByte(text, '<'); i >= 0 && strings.Contains(text[i:], ">") {
		text = text[:i]
	}
	parts := lines(r.strike.Strike(text))
	return strings.TrimRight(strings.Join(parts, " / "), ": ")
}
