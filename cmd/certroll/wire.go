package main

import (
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
	"certroll/spec/redact"
	"certroll/vault"
)

// parts are what a command works with, wired.
type parts struct {
	client     *vault.Client
	kv         *vault.KV
	acme       *acme.Client
	journal    *gitsync.Journal
	ledger     *gitsync.Ledger
	reconciler *reconcile.Reconciler
	prober     *proberNow
	references *references
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

// wiring is what of the program its parts are connected by.
type wiring struct {
	getenv  func(string) string
	version string
	// redact knows every secret that a reference led to; logs and the ledger
	// pass through it.
	redact *redact.Redactor
	// patience are the waits between the tries within one attempt; nil: those
	// of packages reconcile and acme.
	patience []time.Duration
	leaseTTL time.Duration
	leaseLog *slog.Logger // that is told of the lease; nil: none
	// writing also opens the journal, which one process at a time may have, and
	// takes the lease when it applies.
	writing bool
	// progress is told what each certificate waits for.
	progress func(certificate, step, detail string)
}

// connect logs in to Vault and opens the ledger.
func connect(ctx context.Context, s *settings.Settings, log *slog.Logger, w wiring) (*parts, error) {
	client, kv, err := login(ctx, s, log)
	if err != nil {
		return nil, err
	}
	p := &parts{client: client, kv: kv, prober: newProberNow(s.Prober())}
	if w.writing {
		p.ledger, err = s.WriteLedger(s.LedgerMemory())
	} else {
		p.ledger, err = s.OpenLedger("")
	}
	if err != nil {
		return nil, err
	}
	var journal reconcile.Journal = noJournal{}
	var anchor reconcile.Anchor
	if w.writing {
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
		text, err := p.references.follow(ctx, p.kv, v)
		if v.Source != spec.Literal {
			w.redact.Learn(text)
		}
		return text, err
	}
	accounts := vault.NewDocuments(p.kv, s.Vault.Mount, s.Vault.Prefix+"/accounts")
	p.acme = acme.New(accounts, acme.Options{UserAgent: "certroll/" + w.version, Resolve: resolve, Redact: w.redact, Logger: log, PresentRetry: w.patience})
	observer := &reconcile.Observer{Metadata: p.kv, Versions: versions{p.kv, machineID(hostName())}, StateMount: s.Vault.Mount, StatePrefix: s.Vault.Prefix, Ledger: ledgerID(p.ledger), Parallel: s.Vault.Parallel}
	p.reconciler = reconcile.New(observer, p.kv, p.acme, p.ledger, journal, reconcile.Options{
		Parallel: s.Parallel, Progress: w.progress, Resolve: resolve, Redact: w.redact, LeaseWait: w.leaseTTL + w.leaseTTL/2, Patience: w.patience, Examiner: p.acme, CRLs: p.prober,
		Anchor: anchor, Rewound: rewound(log),
		Lease:   w.told(vault.NewLease(p.kv, s.Vault.Mount, s.Vault.Prefix+"/lease", holder(), w.leaseTTL)),
		Moments: momentsFile{filepath.Join(s.StateDir, "moments.json"), log},
	})
	p.references = &references{getenv: w.getenv, places: func(ctx context.Context, path string) (string, error) {
		if own := s.Vault.Mount + "/" + s.Vault.Prefix; path == own || strings.HasPrefix(path, own+"/") {
			return "certroll's own state lies there", nil
		}
		recorded, err := p.reconciler.Recorded(ctx, path)
		if recorded {
			return "the ledger records that path as a certificate's", nil
		}
		return "", err
	}}
	return p, nil
}

// told is a lease that the log is told of, where there is one to tell.
func (w wiring) told(l reconcile.Lease) reconcile.Lease {
	if w.leaseLog == nil {
		return l
	}
	return &toldLease{Lease: l, log: w.leaseLog}
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
