package dnsprovider

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"certroll/reconcile/acme/dnswire"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
)

// programPlaces returns the possible paths of certroll-dns, given the path of the
// running certroll: the same directory, and libexec below the installation prefix. Only
// the administrator writes to these. PATH and the working directory do not count: either
// may contain a checkout of the config repo.
func programPlaces(certroll string) []string {
	dir := filepath.Dir(certroll)
	return []string{
		filepath.Join(dir, dnswire.Program),
		filepath.Join(filepath.Dir(dir), "libexec", "certroll", dnswire.Program),
	}
}

// findProgram returns the path of certroll-dns.
func findProgram() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding the directory of certroll: %w", err)
	}
	// An update may have replaced the file; its directory remains.
	if target, err := filepath.EvalSymlinks(self); err == nil {
		self = target
	}
	places := programPlaces(self)
	for _, path := range places {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s, which runs the DNS providers, is not installed: there is no executable file %s; install the one from the archive that this certroll is from",
		dnswire.Program, strings.Join(places, " nor "))
}

// childCommand returns the command line of the DNS child: the configured one, or the
// installed program.
func childCommand(set []string) ([]string, error) {
	if len(set) > 0 {
		return set, nil
	}
	path, err := findProgram()
	return []string{path}, err
}

// CheckProgram runs certroll-dns once. It fails if the program is missing, does not run,
// or is of another release than version (empty for a development build). It needs
// neither CA nor DNS account, so that an incomplete installation shows before the first
// order. child is Options.Command.
func CheckProgram(ctx context.Context, child []string, version string) error {
	const doing = "checking the program " + dnswire.Program
	argv, err := childCommand(child)
	if err != nil {
		return &problem.Error{OfClass: ledger.ClassConfig, Doing: doing, Said: err.Error(), Cause: err}
	}
	a, err := hello(ctx, argv)
	switch {
	case ctx.Err() != nil:
		return problem.Interrupted(ctx, doing)
	case err != nil:
		return &problem.Error{OfClass: ledger.ClassConfig, Doing: doing, Said: "running " + argv[0] + ": " + err.Error(), Cause: err, Advice: otherProgram}
	case a.Version != version:
		return problem.Config(doing, fmt.Sprintf("%s is %s and this certroll is %s", argv[0], release(a.Version), release(version)), otherProgram)
	case a.Protocol != dnswire.Protocol: // both are development builds
		return problem.Config(doing, otherProtocol(argv[0], a.Protocol), otherProgram)
	}
	return nil
}

// otherProgram is the advice for a certroll-dns that does not match this certroll.
const otherProgram = "install certroll and certroll-dns from the same archive (docs/install.md), and restart certroll"

func otherProtocol(path string, theirs int) string {
	return fmt.Sprintf("%s speaks version %d of the protocol and this certroll version %d", path, theirs, dnswire.Protocol)
}

// release names a release in a message.
func release(version string) string {
	if version == "" {
		return "a build without a version"
	}
	return "version " + version
}

// hello starts a child without credentials and requests its version.
func hello(ctx context.Context, argv []string) (dnswire.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Dir, cmd.SysProcAttr = []string{}, "/", childAttributes()
	cmd.WaitDelay = stopTimeout
	request, _ := json.Marshal(dnswire.Request{ID: 1, Op: dnswire.OpHello, Protocol: dnswire.Protocol}) // cannot fail
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		return dnswire.Answer{}, err
	}
	_, _ = stdin.Write(append(request, '\n')) // on failure there is no answer either
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, dnswire.MaxLine)
	if !lines.Scan() && lines.Err() != nil {
		cancel() // the scanner stopped reading: without a kill the child would block on its output
	}
	_ = stdin.Close() // makes the child exit
	err := cmd.Wait()
	var a dnswire.Answer
	if json.Unmarshal(lines.Bytes(), &a) != nil || a.Program != dnswire.Program {
		if err == nil || ctx.Err() != nil {
			err = errors.New("it does not answer as " + dnswire.Program + " does")
		}
		return dnswire.Answer{}, err
	}
	return a, nil
}
