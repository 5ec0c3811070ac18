package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"certroll/gitsync/fault"
	"certroll/spec/bounded"
)

const (
	dialTimeout = 30 * time.Second
	sshPort     = 22
)

// sshConnector opens one SSH connection per conversation.
type sshConnector struct {
	loc  Location
	auth Auth
	host hostKeys
}

// newSSHConnector checks the settings, without connecting.
func newSSHConnector(loc Location, a Auth) (*sshConnector, error) {
	c := &sshConnector{loc: loc, auth: a, host: hostKeys{files: knownHostsFiles(a), named: a.KnownHostsFile != "", addr: loc.address(sshPort)}}
	if a.SSHKeyFile != "" {
		if _, err := ReadKey(a); err != nil {
			return nil, err
		}
	} else if os.Getenv("SSH_AUTH_SOCK") == "" {
		return nil, fault.BadSetting("logging in at "+loc.String(), "there is neither a key file nor an agent",
			"name a private key file, or start ssh-agent so that SSH_AUTH_SOCK is set")
	}
	return c, nil
}

func (c *sshConnector) Upload(ctx context.Context) (transport.UploadPackSession, error) {
	return c.run(ctx, transport.UploadPackServiceName)
}

func (c *sshConnector) Receive(ctx context.Context) (transport.ReceivePackSession, error) {
	return c.run(ctx, transport.ReceivePackServiceName)
}

// run connects, logs in and starts the service. The end of ctx ends it at any point. After
// the greeting x/crypto runs goroutines that wait for each other, and a misbehaving server
// can make them wait for ever, even after the connection has ended. So run waits for them
// no longer than for ctx, and closes the connection itself: [ssh.Client.Close] would wait
// for them.
func (c *sshConnector) run(ctx context.Context, service string) (*stream, error) {
	methods, end, err := c.methods()
	if err != nil {
		return nil, err
	}
	defer end()
	check, err := c.host.open()
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", c.host.addr)
	if err != nil {
		return nil, err
	}
	type begun struct {
		program
		err error
	}
	// Buffered, so that an abandoned begin can still send and end.
	answer := make(chan begun, 1)
	go func() {
		p, err := c.begin(conn, methods, check, service+" "+shellQuote(c.loc.Path))
		answer <- begun{p, err}
	}()
	var b begun
	select {
	case b = <-answer:
	case <-ctx.Done(): // closing conn, and the agent's connection, ends most of the waits there
		b.err = ctx.Err()
	}
	if b.err != nil {
		_ = conn.Close()
		return nil, b.err
	}
	return newStream(ctx, b.program), nil
}

// begin logs in over conn and starts a command.
func (c *sshConnector) begin(conn net.Conn, methods []ssh.AuthMethod, check *hostCheck, command string) (program, error) {
	sc, chans, reqs, err := ssh.NewClientConn(conn, c.host.addr, &ssh.ClientConfig{
		User: c.loc.user, Auth: methods,
		HostKeyCallback: check.callback, HostKeyAlgorithms: check.algorithms,
	})
	if err != nil {
		return program{}, check.explain(err)
	}
	p, err := start(ssh.NewClient(sc, chans, reqs), command)
	p.kill = func() { _ = conn.Close() }
	return p, err
}

// methods returns the authentication methods, and a function to call after the login.
func (c *sshConnector) methods() ([]ssh.AuthMethod, func(), error) {
	if c.auth.SSHKeyFile != "" {
		signer, err := ReadKey(c.auth)
		if err != nil {
			return nil, nil, err
		}
		return []ssh.AuthMethod{ssh.PublicKeys(signer)}, func() {}, nil
	}
	conn, err := net.Dial("unix", os.Getenv("SSH_AUTH_SOCK")) //nolint:noctx // a local socket; run bounds the requests over it by the context
	if err != nil {
		return nil, nil, &fault.Error{Kind: fault.Denied, Doing: "asking the SSH agent for its keys", Detail: err.Error(),
			Advice: "check that the agent at SSH_AUTH_SOCK runs, or name a private key file", Err: err}
	}
	return []ssh.AuthMethod{ssh.PublicKeysCallback(agent.NewClient(conn).Signers)}, func() { _ = conn.Close() }, nil
}

// ReadKey reads the private key of a. The connector calls it for each connection, because
// operators rotate key files while certroll runs.
func ReadKey(a Auth) (ssh.Signer, error) {
	doing := "reading the SSH key " + a.SSHKeyFile
	pem, err := bounded.NamedFile(a.SSHKeyFile)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Invalid, Doing: doing, Detail: fault.Reason(err), Err: err}
	}
	var signer ssh.Signer
	if a.SSHKeyPassphrase == "" {
		signer, err = ssh.ParsePrivateKey(pem)
	} else {
		signer, err = ssh.ParsePrivateKeyWithPassphrase(pem, []byte(a.SSHKeyPassphrase))
	}
	var missing *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &missing):
		return nil, fault.BadSetting(doing, "it is encrypted and there is no passphrase", "give its passphrase (ssh_key_passphrase_file or ssh_key_passphrase_env), or use an agent")
	case err != nil:
		return nil, fault.BadSetting(doing, newRedactor(a).Strike(err.Error()), "check that it is the private half, in OpenSSH or PEM form, and the passphrase")
	}
	return signer, nil
}

// start runs command in a new session of client. The session ends with the program.
func start(client *ssh.Client, command string) (program, error) {
	session, err := newSession(client)
	if err != nil {
		return program{}, fmt.Errorf("opening an SSH session: %w", ended(err))
	}
	p := program{stderr: &Words{}, wait: session.Wait}
	session.Stderr = p.stderr
	if p.in, err = session.StdinPipe(); err == nil {
		p.out, err = session.StdoutPipe()
	}
	if err == nil {
		err = session.Start(command)
	}
	return p, ended(err)
}

// ended returns io.ErrUnexpectedEOF for io.EOF: the server closed the connection too early.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// newSession opens a session, and gives up when the connection ends.
// [ssh.Client.NewSession] waits for ever if the connection ends during the call: the failed
// write reports its error only to the next write (https://go.dev/issue/57531), and the
// channel of the session opened after the end had closed all channels. In that case the
// goroutine is lost, but blocks no caller.
func newSession(client interface {
	NewSession() (*ssh.Session, error)
	Wait() error
}) (*ssh.Session, error) {
	type opened struct {
		session *ssh.Session
		err     error
	}
	answer, gone := make(chan opened, 1), make(chan error, 1)
	go func() {
		session, err := client.NewSession()
		answer <- opened{session, err}
	}()
	go func() { gone <- client.Wait() }()
	select {
	case o := <-answer:
		return o.session, o.err
	case err := <-gone:
		return nil, err
	}
}

// shellQuote quotes s as one word for the login shell of the server, as git does.
// git-shell(1) and the hosts' own shells parse exactly this form.
func shellQuote(s string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(s) + "'"
}
