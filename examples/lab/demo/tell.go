package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path"
	"strings"
)

// act is one screen of the demo.
type act struct {
	title string
	play  func(context.Context) error
}

// heading begins an act.
func heading(n, of int, title string) {
	head := fmt.Sprintf("-- %d of %d: %s ", n, of, title)
	fmt.Printf("\n\n%s%s\n", head, strings.Repeat("-", max(0, 78-len(head))))
}

// tell prints one step of the demo.
func tell(format string, args ...any) { fmt.Printf("\n"+format+"\n", args...) }

// check prints a successful check.
func check(format string, args ...any) { fmt.Printf("  ok  "+format+"\n", args...) }

// typed prints a command in the form that a user types.
func typed(words ...string) {
	for i, word := range words {
		if strings.ContainsAny(word, " $") {
			words[i] = "'" + word + "'"
		}
	}
	fmt.Printf("\n$ %s\n", strings.Join(words, " "))
}

// show prints a command in that form, and runs it.
func show(cmd *exec.Cmd, words ...string) error {
	typed(words...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(words, " "), err)
	}
	return nil
}

// apply runs certroll apply and shows its output, with the progress in one line. planned
// leaves the plan out, because it was already shown.
func (s *stage) apply(ctx context.Context, planned bool) error {
	typed("certroll", "apply", "--auto-approve")
	cmd := s.certrollCommand(ctx, "apply", "--auto-approve")
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	cmd.Stdout, cmd.Stderr = w, w
	if err := errors.Join(cmd.Start(), w.Close()); err != nil {
		return fmt.Errorf("certroll apply: %w", err)
	}
	shown := (&summary{out: os.Stdout, terminal: isTerminal(os.Stdout), planned: planned}).copy(r)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("certroll apply: %w", err)
	}
	return shown
}

// certroll runs certroll and shows the command and its output.
func (s *stage) certroll(ctx context.Context, args ...string) error {
	return show(s.certrollCommand(ctx, args...), append([]string{"certroll"}, args...)...)
}

// fails requires that a command exited 1.
func fails(what string, err error) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return fmt.Errorf("%s exited 0 although a certificate is failing", what)
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		fmt.Println("  (exit code 1)")
		return nil
	default:
		return err
	}
}

// certrollCommand runs certroll with certroll.hcl in its working directory, and with its
// credentials in its own environment.
func (s *stage) certrollCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "VAULT_TOKEN="+s.vault.Token, "CERTROLL_DNS_TSIG_SECRET="+s.dns.Secret)
	return cmd
}

// git runs a git command in the bare repository and shows it.
func (s *stage) git(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", append([]string{"--no-pager"}, args...)...)
	cmd.Dir = s.repo
	return show(cmd, append([]string{"git"}, args...)...)
}

// readMetadata shows a secret's metadata, from Vault's API.
func (s *stage) readMetadata(ctx context.Context, at string) error {
	mount, below, _ := strings.Cut(at, "/")
	where := path.Join(mount, "metadata", below)
	var out struct {
		Data struct {
			Version int               `json:"current_version"`
			Custom  map[string]string `json:"custom_metadata"`
		} `json:"data"`
	}
	if err := s.vault.API(ctx, http.MethodGet, where, nil, &out); err != nil {
		return err
	}
	fmt.Printf("\nGET $VAULT_ADDR/v1/%s\n  current_version   %d\n", where, out.Data.Version)
	shown := []string{"managed_by", "certificate", "issuer", "serial", "not_after", "key_digest", "revision"}
	for _, name := range shown {
		fmt.Printf("  %-17s %s\n", name, out.Data.Custom[name])
	}
	fmt.Printf("  and %d more\n", len(out.Data.Custom)-len(shown))
	return nil
}
