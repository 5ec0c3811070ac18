package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// tell prints one step of the story.
func tell(format string, args ...any) { fmt.Printf("\n== "+format+"\n", args...) }

// check prints something that was checked and holds.
func check(format string, args ...any) { fmt.Printf("  ok  "+format+"\n", args...) }

// show prints a command as a user would type it, then runs it.
func show(cmd *exec.Cmd, typed ...string) error {
	quoted := make([]string, len(typed))
	for i, word := range typed {
		if quoted[i] = word; strings.Contains(word, " ") {
			quoted[i] = "'" + word + "'"
		}
	}
	fmt.Printf("\n$ %s\n", strings.Join(quoted, " "))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(typed, " "), err)
	}
	return nil
}

// certroll runs and shows the program that all this is about.
func (s *stage) certroll(ctx context.Context, args ...string) error {
	return show(s.certrollCommand(ctx, args...), append([]string{"certroll"}, args...)...)
}

// certrollFails runs and shows certroll where it has to exit 1.
func (s *stage) certrollFails(ctx context.Context, args ...string) error {
	err := s.certroll(ctx, args...)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return fmt.Errorf("certroll %s exits 0 where something is failing", strings.Join(args, " "))
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		fmt.Println("  (exit code 1)")
		return nil
	default:
		return err
	}
}

// certrollCommand has certroll find certroll.hcl in its working directory,
// and its credentials in an environment of its own.
func (s *stage) certrollCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "VAULT_TOKEN="+s.vault.Token, "CERTROLL_DNS_TSIG_SECRET="+s.dns.Secret)
	return cmd
}

// vaultCommand runs and shows Vault's own command line.
func (s *stage) vaultCommand(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, s.vaultProgram, args...)
	cmd.Env = append(os.Environ(), "VAULT_ADDR="+s.vault.Addr, "VAULT_TOKEN="+s.vault.Token)
	return show(cmd, append([]string{"vault"}, args...)...)
}

// git runs and shows a git command in the bare repository.
func (s *stage) git(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", append([]string{"--no-pager"}, args...)...)
	cmd.Dir = s.repo
	return show(cmd, append([]string{"git"}, args...)...)
}
