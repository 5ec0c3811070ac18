package observe

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/throttle"
	"certroll/spec"
)

// MetadataReader is the part of Vault that a plan needs: KV v2 metadata, which contains no
// secrets.
type MetadataReader interface {
	// ReadMetadata returns the current version (0 and no error if nothing was ever
	// written), whether that version is readable, and the custom metadata.
	ReadMetadata(ctx context.Context, mount, path string) (current int, live bool, custom map[string]string, err error)
	// List returns the keys directly below a path. An empty result is no error.
	List(ctx context.Context, mount, path string) ([]string, error)
}

// deletions is a MetadataReader that remembers the deletion times of the secrets it read
// last: the time of the current version, zero if unknown.
type deletions interface {
	DeletedAt(mount, path string) time.Time
}

// PlaceError is an error about one path in Vault.
type PlaceError struct{ Err error }

func (p PlaceError) Error() string { return p.Err.Error() }

// Class returns ledger.ClassVault.
func (PlaceError) Class() string { return string(ledger.ClassVault) }

// OfPlace reports that the error concerns one path alone.
func (PlaceError) OfPlace() bool { return true }

// CredentialVersions reports the current version of a credential without reading the
// credential; "" if it has no versions. A version that only this host can report begins
// with "HOST@". No version contains a comma.
type CredentialVersions interface {
	// Version returns the version of one credential.
	Version(ctx context.Context, v spec.Value) (string, error)
}

// Observer reads the observed state.
type Observer struct {
	Metadata MetadataReader
	// Versions reports credential versions for certificates with a hold; nil: unavailable.
	Versions CredentialVersions
	// StateMount and StatePrefix locate certroll's own secrets.
	StateMount, StatePrefix string
	Ledger                  string // mark on certroll's own secrets; "": no mark
	Parallel                int    // concurrent reads; 0: 32

	Records archive.RecordCache
	history archive.HistoryCache
}

// Observe reads the metadata of every secret that the spec or the records refer to.
//
// An error means that nothing is known: certroll must not mistake an unreadable Vault for
// an empty one. If lenient is set, an error about one path only makes its certificates
// unreadable, so that a wrong path of one certificate delays no other.
//
// before is the previous observed state, nil for none. Observe reuses what it contains
// about a certificate that is not in stale and whose record has not changed since. overlay
// adds the journaled entries that the ledger lacks; Observe then also reads the paths that
// they name.
func (o *Observer) Observe(ctx context.Context, desired *spec.Spec, tree fs.FS, now time.Time, before *plan.Observed, stale map[string]bool, lenient bool, overlay func(*plan.Observed) error) (*plan.Observed, error) {
	// The ledger first: records name the locations to read.
	published, err := o.Records.Read(tree)
	if err != nil {
		return nil, err
	}
	obs := &plan.Observed{Secrets: map[ledger.Location]plan.Secret{}, Pending: map[string]plan.Pending{}, Staged: map[string]plan.Staged{}, Records: published, Unreadable: map[string]string{}, Published: published}
	if obs.History, err = o.history.Read(tree, now.Add(-archive.HistorySpan)); err != nil {
		return nil, err
	}
	_, lost, err := archive.LoadProblems(tree)
	if err != nil {
		return nil, err
	}
	held, unreadHeld, err := archive.ReadHeldSets(tree)
	if err != nil {
		return nil, err
	}
	obs.HeldSets = held
	obs.Unread = slices.Concat(o.Records.Unreadable(), lost, unreadHeld, o.history.Unreadable())
	// The journal may hold records that no push has carried to the ledger yet.
	if err := overlay(obs); err != nil {
		return nil, err
	}
	obs.Credentials = o.credentials(ctx, desired, obs)
	// An error here concerns certroll's own secrets, and so every certificate.
	pending, staged, err := o.ownSecrets(ctx)
	if err != nil {
		return nil, err
	}
	if before == nil {
		before = &plan.Observed{}
	}
	g, ctx := errgroup.WithContext(ctx)
	// KV v2 has no bulk read of metadata: each certificate costs one request, so they run
	// side by side.
	g.SetLimit(cmp.Or(max(o.Parallel, 0), 32))
	s := &partialRead{group: g, lenient: lenient, unreadable: obs.Unreadable, anew: func(name string) bool {
		// A changed record means that this or another replica ran an attempt.
		// Records are shared between reads, so that an unchanged record is the same
		// pointer.
		return stale[name] || before.Published != nil && before.Published[name] != published[name]
	}}
	for _, name := range pending {
		see(s, obs.Pending, before.Pending, name, []string{name}, func() (plan.Pending, bool, error) { return o.pending(ctx, name) })
	}
	for _, name := range staged {
		see(s, obs.Staged, before.Staged, name, []string{name}, func() (plan.Staged, bool, error) { return o.staged(ctx, name) })
	}
	for loc, owners := range Locations(desired, obs.Records) {
		see(s, obs.Secrets, before.Secrets, loc, owners, func() (plan.Secret, bool, error) {
			secret, err := o.Secret(ctx, loc)
			secret.Custom = nil // a writer reads it again; 100,000 copies take too much memory
			return secret, true, err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	// No read succeeded: Vault is the problem and not one path.
	if s.dark != nil && len(obs.Secrets) == 0 {
		return nil, s.dark
	}
	return obs, nil
}

// credentials reads the credential versions whose change may end a hold: those of the DNS
// accounts of certificates with a hold, and of accounts with failures.
func (o *Observer) credentials(ctx context.Context, desired *spec.Spec, obs *plan.Observed) map[string]string {
	found := map[string]string{}
	if o.Versions == nil {
		return found
	}
	look := func(name string) {
		if _, seen := found[name]; !seen && desired.DNS[name] != nil {
			found[name] = versionsOf(ctx, o.Versions, desired.DNS[name])
		}
	}
	// Only certificates with a hold: a version costs a request.
	for _, c := range desired.Certificates {
		if r := obs.Records[c.Name]; r != nil && r.Hold != nil {
			for _, name := range c.DNS {
				look(name)
			}
		}
	}
	for s := range throttle.Circuits(obs.History) {
		if name, ok := s.Account(); ok {
			look(name)
		}
	}
	return found
}

// CredentialsOf returns the current credential versions of one certificate's DNS accounts,
// by account.
func (o *Observer) CredentialsOf(ctx context.Context, desired *spec.Spec, c *spec.Certificate) map[string]string {
	if o.Versions == nil {
		return nil
	}
	now := map[string]string{}
	for _, name := range c.DNS {
		if v := versionsOf(ctx, o.Versions, desired.DNS[name]); v != "" {
			now[name] = v
		}
	}
	return now
}

// versionsOf returns the versions of all credentials of one DNS account, joined by commas;
// "" if one of them is unknown now, which counts as no change.
func versionsOf(ctx context.Context, versions CredentialVersions, account *spec.DNSAccount) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(account.Credentials)) {
		v, err := versions.Version(ctx, account.Credentials[name])
		if err != nil {
			return ""
		}
		if v != "" {
			list = append(list, v)
		}
	}
	return strings.Join(list, ",")
}

// Secret reads the metadata of one secret.
func (o *Observer) Secret(ctx context.Context, loc ledger.Location) (plan.Secret, error) {
	current, live, custom, err := o.Metadata.ReadMetadata(ctx, loc.Mount, loc.Path)
	if err != nil {
		return plan.Secret{}, err
	}
	s := plan.Secret{Version: current, Readable: live, Custom: custom}
	if r, ok := o.Metadata.(deletions); ok && !live {
		s.DeletedAt = r.DeletedAt(loc.Mount, loc.Path)
	}
	if r, ok := o.Metadata.(plan.Destructions); ok && !live {
		s.Destroyed = r.Destroyed(loc.Mount, loc.Path)
	}
	s.Owner, s.Live, err = DecodeMeta(custom)
	// Another program edited metadata that has certroll's mark. Treating the secret as
	// absent would order a certificate.
	if err != nil {
		return plan.Secret{}, PlaceError{fmt.Errorf("reading what certroll noted at %s: %w; fix or remove its custom metadata (vault kv metadata patch)", loc, err)}
	}
	if s.Live != nil {
		s.Live.Mount, s.Live.Path = loc.Mount, loc.Path
	}
	return s, nil
}

// pending reads the metadata of a pending secret. An attempt writes the metadata before the
// data, and deletes both together. Data without metadata is therefore the first write of an
// attempt that reached Vault after another replica had finished the work and deleted the
// pending secret:
//
//	one   ├─ metadata ─ data ········ the link is cut ········ data ─▶
//	two                        ├─ order ─ write ─ removed ─┤
//
// Such a secret delays nothing. A due attempt replaces it, and without a due attempt
// certroll destroys it.
func (o *Observer) pending(ctx context.Context, name string) (plan.Pending, bool, error) {
	current, live, custom, err := o.Metadata.ReadMetadata(ctx, o.StateMount, o.StatePrefix+"/pending/"+name)
	if err != nil || current == 0 || !live {
		return plan.Pending{}, false, err
	}
	follows, err := strconv.Atoi(custom[MetaVersion])
	if err != nil {
		return plan.Pending{Stray: true}, true, nil //nolint:nilerr // certroll always writes a number
	}
	// Metadata of an earlier version has no start; zero then counts as old.
	since, _ := time.Parse(time.RFC3339, custom[MetaStarted])
	return plan.Pending{KeyDigest: custom[MetaKey], Follows: follows, Ours: o.ours(custom), Since: since}, true, nil
}

// Locations returns the locations to read, each with the certificates that use it: the
// target of each certificate, and the live location in its record, which differs after a
// move.
func Locations(desired *spec.Spec, records map[string]*ledger.Record) map[ledger.Location][]string {
	locs := map[ledger.Location][]string{}
	add := func(l ledger.Location, name string) {
		if l.Path != "" {
			locs[l] = append(locs[l], name)
		}
	}
	for _, c := range desired.Certificates {
		add(plan.TargetOf(c), c.Name)
		if own := records[c.Name]; own != nil && own.State != ledger.StateRetired {
			continue // the move is complete, so the former location no longer matters
		}
		for _, name := range c.MovedFrom {
			if r := records[name]; r != nil && r.Live != nil {
				add(ledger.Location{Mount: r.Live.Mount, Path: r.Live.Path}, c.Name)
			}
		}
	}
	for _, r := range records {
		if r.HasSecret() {
			add(ledger.Location{Mount: r.Live.Mount, Path: r.Live.Path}, r.Certificate)
			for _, l := range r.LeftBehind {
				add(l.At(), r.Certificate)
			}
		}
	}
	return locs
}

// PlacesOf returns the Vault paths in the records and events of a ledger. It skips an
// unreadable record or line.
func PlacesOf(tree fs.FS) (map[string]bool, error) {
	all := map[string]bool{}
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
			return err
		case strings.HasPrefix(name, "certificates/") && strings.HasSuffix(name, ".json"):
			b, err := fs.ReadFile(tree, name)
			if err != nil {
				return err
			}
			if record, bad := ledger.UnmarshalRecord(b); bad == nil && record.Live != nil {
				all[record.Live.Mount+"/"+record.Live.Path] = true
			}
		case strings.HasSuffix(name, ".jsonl"):
			b, err := fs.ReadFile(tree, name)
			if err != nil {
				return err
			}
			for line := range bytes.Lines(b) {
				var e struct {
					Place string `json:"vault_path"`
				}
				if bytes.Contains(line, []byte(`"vault_path"`)) && json.Unmarshal(line, &e) == nil {
					all[e.Place] = true
				}
			}
		}
		return nil
	})
	return all, err
}
