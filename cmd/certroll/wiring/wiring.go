package wiring

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

	"certroll/cmd/certroll/reference"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/state"
	"certroll/gitsync"
	"certroll/gitsync/atomicfile"
	"certroll/gitsync/journal"
	"certroll/reconcile/acme"
	"certroll/reconcile/apply"
	"certroll/reconcile/archive"
	"certroll/reconcile/attempt"
	"certroll/reconcile/audit"
	"certroll/reconcile/lease"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/spec"
	"certroll/spec/redact"
	"certroll/vault"
)

// LedgerAlone opens the ledger for a command that only records a person's event. It
// contacts neither Vault nor a CA. giveBack closes the ledger.
func LedgerAlone(s *settings.Settings) (r *apply.Reconciler, giveBack func(), err error) {
	ledger, err := s.WriteLedger("")
	if err != nil {
		return nil, nil, err
	}
	r = apply.New(&observe.Observer{}, nil, nil, ledger, NoJournal{}, attempt.Options{})
	return r, func() { _ = ledger.Close() }, nil
}

// Parts are a command's connected parts.
type Parts struct {
	Client     *vault.Client
	KV         *vault.KV
	ACME       *acme.Client
	journal    *journal.Journal
	Ledger     *gitsync.Ledger
	Reconciler *apply.Reconciler
	Prober     *CurrentProber
	References *reference.Resolver
}

// Close closes the open parts.
func (p *Parts) Close() {
	if p.ACME != nil {
		_ = p.ACME.Close()
	}
	if p.journal != nil {
		_ = p.journal.Close()
	}
	if p.Ledger != nil {
		_ = p.Ledger.Close()
	}
}

// Options are the program's part of the connections.
type Options struct {
	Getenv  func(string) string
	Version string
	// Redact learns every secret that a reference yields; logs and the ledger pass
	// through it.
	Redact *redact.Redactor
	// Patience are the waits between tries within one attempt; nil: the defaults of
	// packages attempt and acme.
	Patience []time.Duration
	LeaseTTL time.Duration
	LeaseLog *slog.Logger // logs the lease; nil: no logging
	// Writing also opens the journal, which only one process at a time can hold, and
	// takes the lease when it applies.
	Writing bool
	// Progress receives each certificate's present step.
	Progress func(certificate, step, detail string)
}

// Connect logs in to Vault and opens the ledger.
func Connect(ctx context.Context, s *settings.Settings, log *slog.Logger, w Options) (*Parts, error) {
	client, kv, err := Login(ctx, s, log)
	if err != nil {
		return nil, err
	}
	p := &Parts{Client: client, KV: kv, Prober: NewCurrentProber(s.Prober())}
	if err := p.open(s, w.Writing); err != nil {
		return nil, err
	}
	var queue ledger.Journal = NoJournal{}
	var anchor audit.Anchor
	if w.Writing {
		anchor = AnchorOf(s, p.KV, p.Ledger)
		queue = p.journal
		for _, file := range []string{"moments.json", state.LastGoodFile} { // the journal's lock covers them
			atomicfile.Sweep(filepath.Join(s.StateDir, file))
		}
	}
	resolve := func(ctx context.Context, v spec.Value) (string, error) {
		text, err := p.References.Follow(ctx, p.KV, v)
		if v.Source != spec.Literal {
			w.Redact.Learn(text)
		}
		return text, err
	}
	accounts := vault.NewDocuments(p.KV, s.Vault.Mount, s.Vault.Prefix+"/accounts")
	p.ACME = acme.New(accounts, acme.Options{UserAgent: "certroll/" + w.Version, Resolve: resolve, Redact: w.Redact, Logger: log, PresentRetry: w.Patience})
	observer := &observe.Observer{Metadata: p.KV, Versions: reference.Versions{KV: p.KV, Machine: reference.MachineID(hostName())}, StateMount: s.Vault.Mount, StatePrefix: s.Vault.Prefix, Ledger: LedgerID(p.Ledger), Parallel: s.Vault.Parallel}
	p.Reconciler = apply.New(observer, p.KV, p.ACME, p.Ledger, queue, attempt.Options{
		Parallel: s.Parallel, Progress: w.Progress, Resolve: resolve, Redact: w.Redact, LeaseWait: w.LeaseTTL + w.LeaseTTL/2, Patience: w.Patience, Examiner: p.ACME, CRLs: p.Prober,
		Anchor: anchor, Rewound: rewound(log),
		Lease:   w.logged(vault.NewLease(p.KV, s.Vault.Mount, s.Vault.Prefix+"/lease", Holder(), w.LeaseTTL)),
		Moments: state.Moments{Path: filepath.Join(s.StateDir, "moments.json"), Log: log},
	})
	p.References = &reference.Resolver{Getenv: w.Getenv, Places: func(ctx context.Context, path string) (string, error) {
		if own := s.Vault.Mount + "/" + s.Vault.Prefix; path == own || strings.HasPrefix(path, own+"/") {
			return "certroll's own state lies there", nil
		}
		recorded, err := p.Reconciler.Recorded(ctx, path)
		if recorded {
			return "the ledger records that path as a certificate's", nil
		}
		return "", err
	}}
	return p, nil
}

// open opens the ledger, and the journal for writing. After an error nothing stays open: run
// connects again while Vault is away.
func (p *Parts) open(s *settings.Settings, writing bool) (err error) {
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	if !writing {
		p.Ledger, err = s.OpenLedger("")
		return err
	}
	if p.Ledger, err = s.WriteLedger(s.LedgerMemory()); err == nil {
		p.journal, err = journal.Open(filepath.Join(s.StateDir, journalName(s)))
	}
	return err
}

// logged wraps a lease in logging, if there is a LeaseLog.
func (w Options) logged(l lease.Lease) lease.Lease {
	if w.LeaseLog == nil {
		return l
	}
	return &LoggedLease{Lease: l, log: w.LeaseLog}
}

// AnchorOf returns the checkpoint of this ledger in Vault. Each ledger has its own, so
// that a move to another ledger is no rewind.
func AnchorOf(s *settings.Settings, kv *vault.KV, ledger *gitsync.Ledger) *vault.Anchor {
	return vault.NewAnchor(kv, s.Vault.Mount, s.Vault.Prefix+"/anchor/"+LedgerID(ledger))
}

// LedgerID identifies a ledger by its URL, branch and directory.
func LedgerID(ledger *gitsync.Ledger) string {
	sum := sha256.Sum256([]byte(ledger.Place()))
	return hex.EncodeToString(sum[:8])
}

// rewound logs that the ledger was rewritten.
func rewound(log *slog.Logger) func(archive.Breach) {
	return func(f archive.Breach) {
		log.Error("the ledger was rewritten", "problem", f.Problem, "expected", f.Expected, "seen", f.Seen, "file", f.File, "line", f.Line, "commit", f.Commit)
	}
}

// Login logs in to Vault and checks its mount.
func Login(ctx context.Context, s *settings.Settings, log *slog.Logger) (*vault.Client, *vault.KV, error) {
	client, err := vault.New(s.Vault.Options(log))
	if err != nil {
		return nil, nil, err
	}
	if names := client.FromEnvironment(); len(names) > 0 {
		log.Debug("settings of Vault come from the environment", "variables", strings.Join(names, " "))
		// Vault's api package prefers it to the address.
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

// journalName returns a file name per ledger. It makes a relative path absolute, since
// the same path in another directory is another ledger.
func journalName(s *settings.Settings) string {
	at := s.Ledger.URL
	if strings.HasPrefix(at, ".") {
		if abs, err := filepath.Abs(at); err == nil {
			at = abs
		}
	}
	return "journal-" + url.PathEscape(strings.NewReplacer("/", "_", ":", "_", "@", "_").Replace(at+"_"+s.Ledger.Branch))
}

// Holder identifies this process in the lease.
func Holder() string { return fmt.Sprintf("%s pid %d", hostName(), os.Getpid()) }

func hostName() string {
	host, err := os.Hostname()
	if err != nil {
		return "unknown host"
	}
	return host
}

// NoJournal is the journal of a command that only reads.
type NoJournal struct{}

// Append fails.
func (NoJournal) Append([]byte) error { return errors.New("this command does not write") }

// NeverWrites marks the journal as read-only for the reconciler.
func (NoJournal) NeverWrites() {}

// Entries returns none.
func (NoJournal) Entries() ([][]byte, error) { return nil, nil }

// Ack does nothing.
func (NoJournal) Ack(int) error { return nil }
