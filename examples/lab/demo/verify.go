package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"certroll/examples/lab"
)

// action is the part of an action in `certroll plan --json` that the demo reads.
type action struct {
	Certificate string   `json:"certificate"`
	Action      string   `json:"action"`
	Names       []string `json:"names"`
	VaultPath   string   `json:"vault_path"`
	Serial      string   `json:"serial"`
}

// plan returns certroll's plan as data.
func (s *stage) plan(ctx context.Context) ([]action, error) {
	out, err := s.certrollCommand(ctx, "plan", "-json").Output()
	if err != nil {
		return nil, fmt.Errorf("certroll plan --json: %w", err)
	}
	var plan struct {
		Actions []action `json:"actions"`
	}
	if err := json.Unmarshal(out, &plan); err != nil {
		return nil, fmt.Errorf("reading certroll's plan: %w", err)
	}
	if len(plan.Actions) == 0 {
		return nil, errors.New("the plan names no certificate")
	}
	return plan.Actions, nil
}

// onlyChange returns the single action of a plan that changes something, and the serial
// that it replaces.
func onlyChange(actions []action) (action, string, error) {
	changes := slices.DeleteFunc(slices.Clone(actions), func(a action) bool { return a.Action == "none" })
	if len(changes) != 1 || changes[0].Action != "reissue" {
		return action{}, "", fmt.Errorf("a new name should cause one reissue, but the plan is %v", changes)
	}
	return changes[0], changes[0].Serial, nil
}

func (s *stage) verifyAll(ctx context.Context, expected []action) error {
	for _, a := range expected {
		if _, err := s.verify(ctx, a); err != nil {
			return err
		}
	}
	return s.noKeyInGit(ctx)
}

// verify reads a secret and checks its pair against Pebble's root and the declared names.
// It returns the certificate's serial number.
func (s *stage) verify(ctx context.Context, a action) (string, error) {
	fields, err := s.secret(ctx, a.VaultPath)
	if err != nil {
		return "", err
	}
	roots, err := s.pebble.Roots(ctx)
	if err != nil {
		return "", err
	}
	chain, key := fields["fullchain"], fields["private_key"]
	if chain == "" { // the other field names of the quickstart
		chain, key = fields["tls.crt"], fields["tls.key"]
	}
	leaf, err := lab.CheckPair(chain, key, roots, a.Names...)
	if err != nil {
		return "", fmt.Errorf("%s at %s: %w", a.Certificate, a.VaultPath, err)
	}
	check("%-12s %s, until %s, for %s", a.Certificate, leaf.PublicKeyAlgorithm, leaf.NotAfter.Format("2006-01-02"), strings.Join(leaf.DNSNames, " "))
	return hex.EncodeToString(leaf.SerialNumber.Bytes()), nil
}

func (s *stage) secret(ctx context.Context, at string) (map[string]string, error) {
	mount, below, _ := strings.Cut(at, "/")
	var out struct {
		Data struct {
			Data map[string]string `json:"data"`
		} `json:"data"`
	}
	err := s.vault.API(ctx, http.MethodGet, path.Join(mount, "data", below), nil, &out)
	return out.Data.Data, err
}

// noKeyInGit searches every commit of the repository for a private key.
func (s *stage) noKeyInGit(ctx context.Context) error {
	all, err := lab.Git(ctx, s.repo, "log", "--all", "--patch")
	if err != nil {
		return err
	}
	for what, secret := range map[string]string{"private key": "PRIVATE KEY", "Vault token": s.vault.Token, "TSIG secret": s.dns.Secret} {
		if strings.Contains(all, secret) {
			return fmt.Errorf("a %s is in Git", what)
		}
	}
	check("no private key, no token and no DNS credential is in any commit")
	return nil
}

// snapshot returns all state that an apply with nothing to do must not change.
func (s *stage) snapshot(ctx context.Context) (string, error) {
	head, err := lab.Head(ctx, s.repo, ledger)
	if err != nil {
		return "", err
	}
	orders := strings.Count(s.pebble.Logs(), "POST /order-plz")
	text := fmt.Sprintf("ledger %s, %d orders", head, orders)
	actions, err := s.plan(ctx)
	if err != nil {
		return "", err
	}
	for _, a := range actions {
		mount, below, _ := strings.Cut(a.VaultPath, "/")
		var out struct {
			Data struct {
				Version int    `json:"current_version"`
				Updated string `json:"updated_time"`
			} `json:"data"`
		}
		if err := s.vault.API(ctx, http.MethodGet, path.Join(mount, "metadata", below), nil, &out); err != nil {
			return "", err
		}
		text += fmt.Sprintf(", %s %d %s", a.VaultPath, out.Data.Version, out.Data.Updated)
	}
	return text, nil
}

// lastEvent shows the last line of the audit log.
func (s *stage) lastEvent(ctx context.Context) error {
	names, err := lab.Git(ctx, s.repo, "ls-tree", "-r", "--name-only", ledger, "audit/")
	if err != nil {
		return err
	}
	files := strings.Fields(names)
	if len(files) == 0 {
		return errors.New("the ledger has no audit log")
	}
	file := files[len(files)-1]
	text, err := lab.Show(ctx, s.repo, ledger, file)
	if err != nil {
		return err
	}
	lines := strings.Split(text, "\n")
	fmt.Printf("\n$ git show %s:%s | tail -n 1\n%s\n", ledger, file, lines[len(lines)-1])
	return nil
}
