package remote

import (
	"errors"
	"io"
	"os/exec"
	"testing"

	"golang.org/x/crypto/ssh"
)

// deafClient is a fake of a connection that ends at the moment when the session is requested; a real server does so too
// rarely.
type deafClient struct{ ended chan error }

func (c deafClient) NewSession() (*ssh.Session, error) { select {} }
func (c deafClient) Wait() error                       { return <-c.ended }

func TestSessionOfEndedConnection(t *testing.T) {
	c := deafClient{ended: make(chan error, 1)}
	c.ended <- io.EOF
	if s, err := newSession(c); s != nil || !errors.Is(err, io.EOF) {
		t.Errorf("got %v, %v", s, err)
	}
}

func TestShellQuote(t *testing.T) {
	for _, s := range []string{"/srv/a.git", "it's", "a b;c $(d) `e` \\ \"f\"", "!x"} {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+shellQuote(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("%q became %q, %v", s, out, err)
		}
	}
}
