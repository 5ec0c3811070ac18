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
)

// programPlaces are where certroll-dns may be, for the path of the certroll
// that runs: beside it, and in the libexec directory of its prefix. Both are
// where the administrator installed certroll. Neither PATH nor the working
// directory counts: a checkout of the config repo may be in one of them.
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
	// The file may be gone, replaced by another version; its directory is not.
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

// childCommand is the argv of the DNS child: the one that is set, or the
// installed program.
func childCommand(set []string) ([]string, error) {
	if len(set) > 0 {
		return set, nil
	}
	path, err := findProgram()
	return []string{path}, err
}

// CheckProgram runs certroll-dns once and fails where it is missing, does not
// run, or is not of the release that the caller is of (empty: a build that is
// none). It needs neither CA nor DNS account, so that a half installed certroll
// is found before the first order. child is as in Options.
func CheckProgram(ctx context.Context, child []string, version string) error {
	const doing = "checking the program " + dnswire.Program
	argv, err := childCommand(child)
	if err != nil {
		return &problem.Error{OfClass: problem.ClassConfig, Doing: doing, Said: err.Error(), Cause: err}
	}
	a, err := hello(ctx, argv)
	switch {
	case ctx.Err() != nil:
		return problem.Interrupted(ctx, doing)
	case err != nil:
		return &problem.Error{OfClass: problem.ClassConfig, Doing: doing, Said: "running " + argv[0] + ": " + err.Error(), Cause: err, Advice: otherProgram}
	case a.Version != version:
		return problem.Config(doing, fmt.Sprintf("%s is %s and this certroll is %s", argv[0], release(a.Version), release(version)), otherProgram)
	case a.Protocol != dnswire.Protocol: // of two builds that are no release
		return problem.Config(doing, otherProtocol(argv[0], a.Protocol), otherProgram)
	}
	return nil
}

// otherProgram is the advice where certroll-dns is not the one that belongs to
// this certroll.
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

// hello starts a child without credentials and asks what it is.
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
	_, _ = stdin.Write(append(request, '\n')) // where it failed there is no answer either
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, dnswire.MaxLine)
	if !lines.Scan() && lines.Err() != nil {
		cancel() // nobody reads what it goes on saying, so it would not end by itself
	}
	_ = stdin.Close() // by which a child ends
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
