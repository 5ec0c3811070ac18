package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"certroll/cmd/certroll/settings"
	"certroll/gitsync"
	"certroll/gitsync/atomicfile"
	"certroll/reconcile"
	"certroll/reconcile/acme"
	"certroll/spec"
	"certroll/vault"
)

// leaseTTL is how long a lease outlives a reconciler that was killed. Half as
// much again is waited for one.
const leaseTTL = time.Minute

// parts are what a command works with, wired.
type parts struct {
	client     *vault.Client
	kv         *vault.KV
	acme       *acme.Client
	journal    *gitsync.Journal
	ledger     *gitsync.Ledger
	reconciler *reconcile.Reconciler
	prober     *proberNow
}

func (p *parts) Close() {
	if p.acme != nil {
		_ = p.acme.Close()
	}
	if p.journal != nil {
		_ = p.journal.Close()
	}
	if p.ledger != nil {
		_ = p.ledger.Close()
	}
}

// connect logs in to Vault and opens the ledger. writing also opens the
// journal, which one process at a time may have, and takes the lease when it
// applies.
func (a *app) connect(ctx context.Context, s *settings.Settings, log *slog.Logger, writing bool, progress func(string, string, string)) (*parts, error) {
	client, kv, err := login(ctx, s, log)
	if err != nil {
		return nil, err
	}
	p := &parts{client: client, kv: kv, prober: newProberNow(s.Prober())}
	if writing {
		p.ledger, err = s.WriteLedger(s.LedgerMemory())
	} else {
		p.ledger, err = s.OpenLedger("")
	}
	if err != nil {
		return nil, err
	}
	var journal reconcile.Journal = noJournal{}
	var anchor reconcile.Anchor
	if writing {
		anchor = anchorOf(s, p.kv, p.ledger)
		if p.journal, err = gitsync.OpenJournal(filepath.Join(s.StateDir, journalName(s))); err != nil {
			return nil, err
		}
		journal = p.journal
		for _, file := range []string{"moments.json", lastGood} { // the journal's lock covers them
			atomicfile.Sweep(filepath.Join(s.StateDir, file))
		}
	}
	resolve := func(ctx context.Context, v spec.Value) (string, error) {
		text, err := a.follow(ctx, p.kv, v)
		if v.Source != spec.Literal {
			a.redact.Learn(text)
		}
		return text, err
	}
	accounts := vault.NewDocuments(p.kv, s.Vault.Mount, s.Vault.Prefix+"/accounts")
	p.acme = acme.New(accounts, acme.Options{UserAgent: "certroll/" + version(), Resolve: resolve, Redact: &a.redact, Logger: log, PresentRetry: a.patience})
	observer := &reconcile.Observer{Metadata: p.kv, Versions: versions{p.kv, machine()}, StateMount: s.Vault.Mount, StatePrefix: s.Vault.Prefix, Ledger: ledgerID(p.ledger), Parallel: s.Vault.Parallel}
	ttl := a.ttl()
	p.reconciler = reconcile.New(observer, p.kv, p.acme, p.ledger, journal, reconcile.Options{
		Parallel: s.Parallel, Progress: progress, Resolve: resolve, Redact: &a.redact, LeaseWait: ttl + ttl/2, Patience: a.patience, Examiner: p.acme, CRLs: p.prober,
		Anchor: anchor, Rewound: rewound(log),
		Lease:   a.told(vault.NewLease(p.kv, s.Vault.Mount, s.Vault.Prefix+"/lease", holder(), ttl)),
		Moments: momentsFile{filepath.Join(s.StateDir, "moments.json"), log},
	})
	a.places = func(ctx context.Context, path string) (string, error) {
		if own := s.Vault.Mount + "/" + s.Vault.Prefix; path == own || strings.HasPrefix(path, own+"/") {
			return "certroll's own state lies there", nil
		}
		recorded, err := p.reconciler.Recorded(ctx, path)
		if recorded {
			return "the ledger records that path as a certificate's", nil
		}
		return "", err
	}
	return p, nil
}

// told is a lease that the log is told of, where there is one to tell.
func (a *app) told(l reconcile.Lease) reconcile.Lease {
	if a.leaseLog == nil {
		return l
	}
	return &toldLease{Lease: l, log: a.leaseLog}
}

// anchorOf is where Vault keeps how far this ledger had come. Each ledger has its
// own: to move to another one is no rewind.
func anchorOf(s *settings.Settings, kv *vault.KV, ledger *gitsync.Ledger) *vault.Anchor {
	return vault.NewAnchor(kv, s.Vault.Mount, s.Vault.Prefix+"/anchor/"+ledgerID(ledger))
}

// ledgerID stands for a ledger's URL, branch and directory.
func ledgerID(ledger *gitsync.Ledger) string {
	sum := sha256.Sum256([]byte(ledger.Place()))
	return hex.EncodeToString(sum[:8])
}

func (a *app) ttl() time.Duration { return cmp.Or(a.leaseTTL, leaseTTL) }

// rewound says loudly that the ledger was rewritten.
func rewound(log *slog.Logger) func(reconcile.Breach) {
	return func(f reconcile.Breach) {
		log.Error("the ledger was rewritten", "problem", f.Problem, "expected", f.Expected, "seen", f.Seen, "file", f.File, "line", f.Line, "commit", f.Commit)
	}
}

// login logs in to Vault and makes sure of its mount.
func login(ctx context.Context, s *settings.Settings, log *slog.Logger) (*vault.Client, *vault.KV, error) {
	client, err := vault.New(s.Vault.Options(log))
	if err != nil {
		return nil, nil, err
	}
	if names := client.FromEnvironment(); len(names) > 0 {
		log.Debug("settings of Vault come from the environment", "variables", strings.Join(names, " "))
		// It goes before vault.address, as the api has it.
		if slices.Contains(names, "VAULT_AGENT_ADDR") && s.Vault.Address != "" {
			log.Warn("VAULT_AGENT_ADDR overrides vault.address of certroll.hcl; unset it, or leave vault.address out", "address", client.Name())
		}
	}
	if err := client.Login(ctx); err != nil {
		return nil, nil, err
	}
	kv := vault.NewKV(client)
	return client, kv, kv.Check(ctx, s.Vault.Mount)
}

// journalName keeps the journals of several ledgers apart: a path is made
// absolute, which is another ledger in another directory.
func journalName(s *settings.Settings) string {
	at := s.Ledger.URL
	if strings.HasPrefix(at, ".") {
		if abs, err := filepath.Abs(at); err == nil {
			at = abs
		}
	}
	return "journal-" + url.PathEscape(strings.NewReplacer("/", "_", ":", "_", "@", "_").Replace(at+"_"+s.Ledger.Branch))
}

func holder() string { return fmt.Sprintf("%s pid %d", hostName(), os.Getpid()) }

func hostName() string {
	host, err := os.Hostname()
	if err != nil {
		return "unknown host"
	}
	return host
}

// noJournal is the journal of a command that only reads.
type noJournal struct{}

func (noJournal) Append([]byte) error        { return errors.New("this command does not write") }
func (noJournal) NeverWrites()               {}
func (noJournal) Entries() ([][]byte, error) { return nil, nil }
func (noJournal) Ack(int) error              { return nil }
