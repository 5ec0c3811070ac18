package reconciletest

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/archive"
	"certroll/reconcile/attempt"
	"certroll/reconcile/doctor"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/pending"
	"certroll/reconcile/plan"
	"certroll/reconcile/recorder"
	"certroll/spec"
)

// LedgerRecords returns the number of records in the ledger.
func (w *World) LedgerRecords() int {
	w.Ledger.Mu.Lock()
	defer w.Ledger.Mu.Unlock()
	n := 0
	for name := range w.Ledger.Tree {
		if strings.HasPrefix(name, ledger.RecordDir+"/") {
			n++
		}
	}
	return n
}

// Without removes the first n blocks from the spec.
func (w *World) Without(n int) { w.Desired.Certificates = w.Desired.Certificates[n:] }

// Lose removes the secrets of the first n certificates, metadata and all.
func (w *World) Lose(n int) {
	for i := range n {
		delete(w.Vault.Secrets, fmt.Sprintf("secret/tls/c%02d", i))
	}
}

// Stopped counts the actions that the brake holds, and fails if one of them runs.
func (w *World) Stopped() int {
	w.T.Helper()
	n := 0
	for _, a := range w.Plan() {
		if a.Reason == ledger.ReasonMass {
			n++
			if a.Kind != ledger.KindHold || !strings.Contains(a.Detail, "certroll accept --missing "+a.Mass.ID) {
				w.T.Errorf("%s: %s %s", a.Certificate, a.Kind, a.Detail)
			}
		}
	}
	return n
}

// Consented adds a person's consent to every held action of an observation.
func Consented(desired *spec.Spec, obs *plan.Observed, now time.Time) {
	set := *plan.MassHold(plan.New(desired, obs, now).Actions)
	set.AcceptedAt = &now
	obs.Accept(&set)
}

// Accept writes a person's consent, from a machine without Vault.
func (w *World) Accept(id string) (*ledger.HeldSet, error) {
	r := apply.New(&observe.Observer{}, nil, nil, w.Ledger, nil, attempt.Options{Now: w.Opts.Now})
	return r.AcceptHeld(context.Background(), id, nil, "ann@desk", "what is held")
}

// Snapshot returns the tree of the ledger.
func (w *World) Snapshot(t *testing.T) fs.FS {
	t.Helper()
	tree, _, err := w.Ledger.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// Examine runs doctor.Examine with the world's examiner.
func (w *World) Examine(o doctor.ExamineOptions) *doctor.Examination {
	w.T.Helper()
	x, err := doctor.Examine(context.Background(), w.Reconciler(), w.Desired, o)
	if err != nil {
		w.T.Fatal(err)
	}
	return x
}

// Doctor runs doctor.Doctor with the world's examiner.
func (w *World) Doctor() *doctor.Examination {
	w.T.Helper()
	x, err := doctor.Doctor(context.Background(), w.Reconciler(), w.Desired, ledger.Revision{Commit: "c0ffee"})
	if err != nil {
		w.T.Fatal(err)
	}
	return x
}

// PlannedFromCache is Planned for a ledger that may be unreachable.
func (w *World) PlannedFromCache() (*apply.Reconciler, plan.Plan) {
	r := w.Reconciler()
	obs, err := r.Observe(context.Background(), w.Desired)
	if err != nil {
		return nil, plan.Plan{}
	}
	return r, plan.New(w.Desired, obs, w.At)
}

// Somebodys returns a foreign secret whose pair is signed by signer, or by itself if that
// is nil.
func (w *World) Somebodys(life time.Duration, parent *x509.Certificate, signer crypto.Signer, edit func(map[string]string)) map[string]string {
	w.T.Helper()
	key, err := keypair.NewKey("ecdsa-P-256")
	if err != nil {
		w.T.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(w.At.UnixNano()), DNSNames: []string{"api.example.com"}, NotBefore: w.At.Add(-time.Minute), NotAfter: w.At.Add(life - time.Minute)}
	if parent == nil {
		parent, signer = leaf, key
	} else {
		leaf.AuthorityKeyId = w.Ca.Cert.SubjectKeyId // anybody can write this identifier
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, parent, key.Public(), signer)
	if err != nil {
		w.T.Fatal(err)
	}
	text, err := keypair.EncodeKey(key)
	if err != nil {
		w.T.Fatal(err)
	}
	chain := string(PemOf(parent.Raw))
	if parent == leaf {
		chain = ""
	}
	data := map[string]string{"certificate": string(PemOf(der)), "private_key": text, "chain": chain, "fullchain": string(PemOf(der)) + chain}
	if edit != nil {
		edit(data)
	}
	return data
}

// Overwrite puts data over a version of the secret.
func (w *World) Overwrite(data map[string]string, version int) {
	w.T.Helper()
	if _, err := w.Vault.Write(w.T.Context(), "secret", "tls/api", data, version); err != nil {
		w.T.Fatal(err)
	}
}

// Deletes makes another program delete the current version of a secret, or restore it.
func (v *MemVault) Deletes(path string, deleted bool) {
	v.Mu.Lock()
	defer v.Mu.Unlock()
	s := v.Secrets[path]
	s.Versions[len(s.Versions)-1].Deleted = deleted
}

// Deletions returns the events about deleted secrets.
func (w *World) Deletions(t *testing.T) (list []ledger.Event) {
	t.Helper()
	for _, e := range w.Ledger.Events(t) {
		if e.Operation == ledger.KindNote && e.Reason == ledger.ReasonDeleted {
			list = append(list, e)
		}
	}
	return list
}

// KeysOfState returns certroll's own secrets that are not empty.
func (w *World) KeysOfState() []string {
	var paths []string
	for path, s := range w.Vault.Secrets {
		if strings.HasPrefix(path, "secret/certroll/") && len(s.Versions) > 0 {
			paths = append(paths, path)
		}
	}
	return slices.Sorted(slices.Values(paths))
}

// Staged returns the next key in Vault.
func (w *World) Staged() *pending.StagedKey {
	w.T.Helper()
	n, err := w.Reconciler().Next.Load(context.Background(), "api")
	if err != nil {
		w.T.Fatal(err)
	}
	return n
}

// CheckNext requires that the staged key, the metadata and the record agree on a key that
// is not live. It returns both digests.
func (w *World) CheckNext() (live, next string) {
	w.T.Helper()
	live, err := keypair.KeyDigest(w.SecretPair("tls/api").Key.Public())
	if err != nil {
		w.T.Fatal(err)
	}
	n := w.Staged()
	if n == nil {
		w.T.Fatal("no key is staged")
	}
	custom := w.Vault.Secrets["secret/tls/api"].Custom
	r := w.Ledger.Record(w.T, "api").Live
	if n.Digest != custom[observe.MetaNextKey] || n.Digest != r.NextKeyDigest || n.Digest == live || r.KeyDigest != live {
		w.T.Errorf("staged %s, published %s, told %s, live %s", n.Digest, custom[observe.MetaNextKey], r.NextKeyDigest, live)
	}
	if r.NextKeySince == nil || !r.NextKeySince.Equal(n.Since) || r.NextKeyShape != n.Shape || custom[observe.MetaNextShape] != n.Shape {
		w.T.Errorf("record %+v, staged %s since %s", r, n.Shape, n.Since)
	}
	if v := w.Vault.Secrets["secret/"+observe.NextPath("certroll", "api")]; len(v.Versions) != 1 {
		w.T.Errorf("%d versions of staged keys are kept", len(v.Versions))
	}
	return live, n.Digest
}

// LastEvent returns the newest event of the ledger.
func (w *World) LastEvent() ledger.Event {
	w.T.Helper()
	es := w.Ledger.Events(w.T)
	return es[len(es)-1]
}

// NoKeys requires that the ledger has no private key.
func (w *World) NoKeys() {
	w.T.Helper()
	for _, s := range w.Vault.Secrets {
		for _, v := range s.Versions {
			for _, field := range []string{"key", "next_key", "private_key"} {
				_, body, _ := strings.Cut(v.Data[field], "\n")
				for name, f := range w.Ledger.Tree {
					if len(body) > 40 && strings.Contains(string(f.Data), body[:40]) {
						w.T.Errorf("%s holds a private key", name)
					}
				}
			}
		}
	}
}

// SpoilFirst makes the first order fail with err at each finish, and the CA never returns
// that order again.
func (w *World) SpoilFirst(err *CaError) {
	w.Ca.Fail = func(op string, _ int) error {
		if op != "finish" || len(w.Ca.Orders) > 1 {
			return nil
		}
		for url := range w.Ca.Orders {
			w.Ca.Orders[url] = []string{"spoiled.example.com"}
		}
		return err
	}
}

// UntilLive applies at the end of each hold until the certificate is live, and returns
// the number of attempts.
func (w *World) UntilLive(most int) (attempts int) {
	w.T.Helper()
	for attempts = 1; attempts <= most; attempts++ {
		report, err := w.Apply(w.T.Context())
		if err != nil {
			w.T.Fatal(err)
		}
		if report.Failed() == 0 && len(report.Results) == 1 {
			return attempts
		}
		if a := w.Only(); a.Kind == ledger.KindHold {
			w.At = a.NotBefore
		}
	}
	w.T.Fatalf("it is not live after %d attempts", most)
	return 0
}

// PendingKey returns the key of the pending secret.
func (w *World) PendingKey() string {
	w.T.Helper()
	d, err := w.Reconciler().PendingSecrets.Load(w.T.Context(), "api")
	if err != nil || d == nil {
		w.T.Fatalf("no pending secret: %v", err)
	}
	return d.KeyDigest
}

// GitError is the error of an unreachable Git.
func GitError() error { return &CaError{Code: "git", Text: "no route to host"} }

// OutageEvents returns the statuses of the events about outages.
func (w *World) OutageEvents(t *testing.T) (list []ledger.Status) {
	t.Helper()
	for _, e := range w.Ledger.Events(t) {
		if e.Operation == ledger.KindPass {
			list = append(list, e.Status)
		}
	}
	return list
}

// Away makes the ledger fail with err, or work again if err is nil.
func (l *MemLedger) Away(err error) {
	l.Mu.Lock()
	defer l.Mu.Unlock()
	l.Err = err
}

// GoesOn returns a process that has seen the ledger before Git became unreachable.
func (w *World) GoesOn() (again func()) {
	w.T.Helper()
	r := w.Reconciler()
	if _, err := r.Observe(w.T.Context(), Desire()); err != nil {
		w.T.Fatal(err)
	}
	w.Ledger.Err = errors.New("connection refused")
	var seen *plan.Observed
	return func() {
		w.T.Helper()
		look := func(names map[string]bool) {
			var err error
			if seen, err = r.ObserveAgain(w.T.Context(), w.Desired, seen, names); err != nil {
				w.T.Fatal(err)
			}
		}
		look(nil)
		if _, err := r.Apply(w.T.Context(), w.Desired, ledger.Revision{}, plan.New(w.Desired, seen, w.At)); err == nil {
			w.T.Fatal("a ledger that cannot be reached gave no error")
		}
		look(r.Crew.TakeEnded())
	}
}

// TheOwner is the author of the commits of the config repo.
const TheOwner = "A. Owner <owner@example.com>"

// ExpectEvents compares the events of a certificate, including those of its former
// names.
func (w *World) ExpectEvents(t *testing.T, name, want string) {
	t.Helper()
	tree := w.Snapshot(t)
	events, err := archive.Query{Certificate: name}.Events(tree)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range events {
		list = append(list, string(e.Operation)+"/"+string(e.Reason))
	}
	if got := strings.Join(list, " "); got != want {
		t.Errorf("the events of %s are %s, want %s", name, got, want)
	}
	newest, more, err := archive.Query{Certificate: name}.Newest(tree, 100)
	if err != nil || more || len(newest) != len(events) {
		t.Errorf("the newest are %d, more %v: %v", len(newest), more, err)
	}
}

// HeldUntil requires that the plan holds a certificate until a time.
func (w *World) HeldUntil(t *testing.T, name string, until time.Time) {
	t.Helper()
	for _, a := range w.Plan() {
		if a.Certificate == name && (a.Kind != ledger.KindHold || !a.NotBefore.Equal(until)) {
			t.Errorf("%s: %s until %s, want a hold until %s: %s", name, a.Kind, a.NotBefore, until, a.Detail)
		}
	}
}

// FailToMove applies a plan while the metadata of tls/api cannot be written: all its
// actions, or only those that close no record.
func (w *World) FailToMove(t *testing.T, all bool) {
	t.Helper()
	r, planned := w.Planned()
	if !all {
		planned.Actions = slices.DeleteFunc(planned.Actions, func(a plan.Action) bool { return a.Kind == ledger.KindRetire })
	}
	w.Vault.Fail = func(op, path string) error {
		if op == "write-metadata" && path == "secret/tls/api" {
			return errors.New("permission denied")
		}
		return nil
	}
	report, err := r.Apply(t.Context(), w.Desired, ledger.Revision{Commit: "c0ffee", Author: TheOwner}, planned)
	if w.Vault.Fail = nil; err != nil || report.Failed() != 1 {
		t.Fatalf("%d failed, %v", report.Failed(), err)
	}
}

// There reports whether a secret can be read.
func (w *World) There(path string) bool {
	_, readable, _, _ := w.Vault.ReadMetadata(context.Background(), "secret", path)
	return readable
}

// Kinds returns the plan's kinds in the order of the names.
func (w *World) Kinds() string {
	w.T.Helper()
	var kinds []string
	for _, a := range w.Plan() {
		kinds = append(kinds, string(a.Kind))
	}
	return strings.Join(kinds, " ")
}

// Retry runs a person's retry on a machine without a journal and Vault.
func (w *World) Retry(want recorder.Retry) ([]recorder.Retried, string, error) {
	r := apply.New(&observe.Observer{}, nil, nil, w.Ledger, nil, attempt.Options{Now: w.Opts.Now})
	return r.Retry(context.Background(), want)
}

// PendingOfAPI is the path of the pending secret of the certificate api.
const PendingOfAPI = "secret/certroll/pending/api"

// Arrives lets the late write reach Vault. It succeeds because the path is empty.
func (w *World) Arrives(data map[string]string) {
	w.Vault.Secrets[PendingOfAPI] = &memSecret{Versions: []MemVersion{{Data: data}}}
}
