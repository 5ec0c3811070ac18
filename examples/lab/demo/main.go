// Command demo shows certroll's main job on real servers, from a user's view:
// certificates are declared in Git, certroll stores them in Vault and records their
// history in Git. The demo checks each result without certroll's code, and exits 1 if one
// is wrong.
//
// `make demo` builds the programs and runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"certroll/examples/lab"
)

func main() {
	certroll := flag.String("certroll", "bin/lab/certroll", "the certroll to show")
	config := flag.String("config", "examples/quickstart/certs", "the directory to push as the config repo")
	keep := flag.Bool("keep", false, "leave the lab up at the end, with certroll run at work in it, until Ctrl-C")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *certroll, *config, *keep); err != nil {
		fmt.Fprintf(os.Stderr, "\nThe demo failed: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, certroll, config string, keep bool) (err error) {
	fmt.Println("\nStarting a lab on loopback: Pebble (an ACME CA), a DNS server, Vault, and a bare Git repository.")
	s, err := newStage(ctx, certroll, config, keep)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	fmt.Println(s.whichVault())
	acts := []act{
		{"declare certificates in Git", s.declare}, {"issue", s.issue}, {"the record in Git history", s.history},
		{"apply once more", s.again}, {"a pull request", s.change}, {"a failure, and the way out", s.failure},
	}
	for i, a := range acts {
		heading(i+1, len(acts), a.title)
		if err := a.play(ctx); err != nil {
			return err
		}
	}
	if keep {
		return s.stay(ctx)
	}
	whereNext()
	return nil
}

// whichVault names the server that serves as Vault.
func (s *stage) whichVault() string {
	if s.vault.Embedded {
		return "Vault is its KV engine alone, in memory and without policies. With vault or bao on PATH or in examples/lab/bin, the demo starts that server."
	}
	return "Vault is the dev server of " + s.vault.Program + "."
}

// declare shows the check of a pull request.
func (s *stage) declare(ctx context.Context) error {
	tell("The config repo declares certificates in HCL. certroll.hcl, outside of the repo, limits what it may use. The plan reads no secret:")
	if err := s.git(ctx, "ls-tree", "-r", "--name-only", "main"); err != nil {
		return err
	}
	if err := s.certroll(ctx, "validate", s.configDir); err != nil {
		return err
	}
	return s.certroll(ctx, "plan")
}

// issue applies, and verifies the certificates.
func (s *stage) issue(ctx context.Context) error {
	tell("certroll orders all certificates in parallel, and solves the CA's challenges by signed DNS updates.")
	expected, err := s.plan(ctx)
	if err != nil {
		return err
	}
	if err := s.apply(ctx, true); err != nil {
		return err
	}
	tell("A plan needs only the metadata of each secret in Vault:")
	if err := s.readMetadata(ctx, expected[0].VaultPath); err != nil {
		return err
	}
	tell("The demo checks without certroll: the key matches the certificate, the chain ends at Pebble's root, and the names are the declared ones.")
	return s.verifyAll(ctx, expected)
}

// history shows the ledger in Git.
func (s *stage) history(ctx context.Context) error {
	tell("certroll records each change in a branch of the same repository:")
	if err := s.git(ctx, "log", "--stat", "--format=%h %s", ledger); err != nil {
		return err
	}
	tell("STATUS.md, as the web view of the repository shows it, and the last line of the audit log:")
	if err := s.git(ctx, "show", ledger+":STATUS.md"); err != nil {
		return err
	}
	return s.lastEvent(ctx)
}

// again applies a second time and requires that nothing changes.
func (s *stage) again(ctx context.Context) error {
	tell("A second apply finds nothing to do: no order, no write, no commit.")
	before, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	if err := s.apply(ctx, false); err != nil {
		return err
	}
	after, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	if before != after {
		return fmt.Errorf("the second apply changed something:\nbefore: %s\nafter:  %s", before, after)
	}
	check("same ledger commit, same secret versions, same number of orders at the CA")
	return nil
}

// change merges a pull request that adds a name to one certificate.
func (s *stage) change(ctx context.Context) error {
	tell("A pull request adds a name to a certificate. The plan for its reviewer, as a comment, needs no secret:")
	if err := s.addName(ctx, proposed); err != nil {
		return err
	}
	if err := s.git(ctx, "show", "--format=%h %s", "--unified=1", proposed); err != nil {
		return err
	}
	if err := s.certroll(ctx, "plan", "--offline", "--ref", proposed, "--base", "main", "--markdown"); err != nil {
		return err
	}
	tell("The pull request is merged, and certroll applies it.")
	if _, err := lab.Git(ctx, s.repo, "update-ref", "refs/heads/main", "refs/heads/"+proposed); err != nil {
		return err
	}
	expected, err := s.plan(ctx)
	if err != nil {
		return err
	}
	changed, old, err := onlyChange(expected)
	if err != nil {
		return err
	}
	if err := s.apply(ctx, true); err != nil {
		return err
	}
	serial, err := s.verify(ctx, changed)
	if err != nil {
		return err
	}
	if serial == old {
		return fmt.Errorf("%s still has the certificate %s", changed.Certificate, old)
	}
	tell("The old serial was %s, the new one is %s. The audit log has both:", old, serial)
	return s.certroll(ctx, "audit", "--certificate", changed.Certificate)
}

// failure makes the DNS server refuse certroll's updates, and then repairs it.
func (s *stage) failure(ctx context.Context) error {
	tell("Now the DNS server refuses certroll's updates, and a commit declares one more certificate.")
	s.dns.FailUpdates(lab.Refuse)
	const name = "mail"
	declared := map[string]string{name + ".hcl": "certificate \"" + name + "\" {\n  domains = [\"mail." + zone + "\"]\n}\n"}
	if err := lab.Push(ctx, s.repo, "main", declared, "Declare "+name); err != nil {
		return err
	}
	if err := fails("certroll apply", s.apply(ctx, false)); err != nil {
		return err
	}
	tell("The ledger has the failure in the server's own words. Until the hold ends, certroll sends nothing to the CA, even after a restart:")
	if err := fails("certroll status", s.certroll(ctx, "status", name)); err != nil {
		return err
	}
	tell("The DNS server works again. A person runs certroll retry, and certroll continues the same order.")
	s.dns.FailUpdates(lab.None)
	if err := s.certroll(ctx, "retry", name, "--reason", "the DNS server accepts updates again"); err != nil {
		return err
	}
	if err := s.apply(ctx, true); err != nil {
		return err
	}
	expected, err := s.plan(ctx)
	if err != nil {
		return err
	}
	for _, a := range expected {
		if a.Certificate == name {
			if _, err := s.verify(ctx, a); err != nil {
				return err
			}
		}
	}
	if err := s.git(ctx, "log", "--format=%h %s", ledger); err != nil {
		return err
	}
	return s.certroll(ctx, "audit", "verify")
}

// whereNext prints the last screen of a demo whose lab has ended.
func whereNext() {
	fmt.Printf("\n\n-- what to try next %s\n", strings.Repeat("-", 58))
	fmt.Println(`
  make demo KEEP=1       the same, then the lab stays up for you until Ctrl-C: see the
                         status page, try certroll rotate, push commits
  make test              the tests, on the same servers; make help lists the rest

  README.md              what certroll promises, and its commands
  docs/spec.md           the language of the config repo
  docs/certroll.md       certroll's own settings
  examples/quickstart    the config repo that you just saw`)
}
