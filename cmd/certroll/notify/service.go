package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"certroll/spec/redact"
)

// Service sends messages to services by their URLs, in a child process.
type Service struct {
	// URLs reads the URLs for each message, so that they can be rotated.
	URLs func() ([]string, error)
	// Command returns the child: a program that calls ServeChild.
	Command func() ([]string, error)
}

// childRequest and childAnswer are the messages between parent and child.
type (
	childRequest struct {
		URLs          []string
		Subject, Text string
	}
	childAnswer struct {
		Errors []string // by URL; "": sent
	}
)

// passedOn are the environment variables that the child inherits: the network settings.
var passedOn = []string{
	"PATH", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
}

// childDelay bounds the wait for the pipes of a killed child.
const childDelay = 2 * time.Second

// Send sends a message to each of the URLs. If one of several fails, the others receive
// the message again with the next try.
func (s *Service) Send(ctx context.Context, m Message) error {
	urls, err := s.URLs()
	if err != nil {
		return err
	}
	answer, err := s.ask(ctx, childRequest{URLs: urls, Subject: m.Subject, Text: m.Text})
	if err != nil {
		return err
	}
	var failed []error
	for i, said := range answer.Errors {
		if said != "" && i < len(urls) {
			failed = append(failed, fmt.Errorf("sending through %s: %s", schemeOf(urls[i]), strike(said, redact.Parts(urls[i]))))
		}
	}
	return errors.Join(failed...)
}

// schemeOf returns the name of a URL's service.
func schemeOf(raw string) string {
	scheme, _, found := strings.Cut(raw, ":")
	if !found || !redact.IsScheme(scheme) {
		return "a URL that names no service"
	}
	return scheme
}

func (s *Service) ask(ctx context.Context, r childRequest) (childAnswer, error) {
	argv, err := s.Command()
	if err != nil {
		return childAnswer{}, err
	}
	input, err := json.Marshal(r)
	if err != nil {
		return childAnswer{}, fmt.Errorf("encoding a message: %w", err)
	}
	// The kernel kills the child when the thread that started it ends (Pdeathsig).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = []string{} // nil would mean certroll's whole environment
	for _, name := range passedOn {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.Dir, cmd.SysProcAttr, cmd.WaitDelay = "/", childAttributes(), childDelay
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout = bytes.NewReader(input), &out
	err = cmd.Run()
	var answer childAnswer
	switch {
	case ctx.Err() != nil:
		return answer, errors.New("the service did not come back in time")
	case err != nil:
		return answer, fmt.Errorf("running the child that speaks to services: %w", err)
	}
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil || len(answer.Errors) != len(r.URLs) {
		return answer, errors.New("the child that speaks to services said nothing that can be read")
	}
	return answer, nil
}
