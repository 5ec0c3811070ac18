package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"certroll/spec"
)

// MetadataReader is as much of Vault as a plan needs: KV v2 metadata, which
// holds no secret.
type MetadataReader interface {
	// ReadMetadata returns the current version (0 and no error where nothing
	// was ever written), whether that version can be read, and the custom
	// metadata.
	ReadMetadata(ctx context.Context, mount, path string) (current int, live bool, custom map[string]string, err error)
	// List returns the keys directly below a path; none is no error.
	List(ctx context.Context, mount, path string) ([]string, error)
}

// deletions is a MetadataReader that remembers of the secrets that it was asked for
// last when their current versions were deleted; zero where that is not known.
type deletions interface {
	DeletedAt(mount, path string) time.Time
}

// Location is a place in Vault.
type Location struct{ Mount, Path string }

func (l Location) String() string { return l.Mount + "/" + l.Path }

// Secret is what the metadata of one secret says.
type Secret struct {
	Version  int  // current version; 0: never written
	Readable bool // the current version is neither deleted nor destroyed
	// DeletedAt is when the current version was deleted, as far as the reader tells.
	DeletedAt time.Time
	Destroyed bool              // the data of the current version was destroyed, as far as the reader tells
	Owner     string            // the certificate it speaks of; "" where it is not certroll's
	Live      *Live             // nil where it is not certroll's
	Custom    map[string]string // nil in Observed
}

// Behind tells that the metadata speaks of an older version than the current.
func (s Secret) Behind() bool { return s.Live != nil && s.Live.Version != s.Version }

// Pending is what the metadata of a pending secret says.
type Pending struct {
	KeyDigest string
	Follows   int       // the version of the secret that it was made to follow
	Ours      bool      // it carries the mark of this ledger
	Since     time.Time // when the attempt began; zero where that is not known
	// Stray tells that no metadata of certroll's stands beside it; see Observer.pending.
	Stray bool
}

// Observed is what is there.
type Observed struct {
	Secrets map[Location]Secret
	Pending map[string]Pending // by certificate
	Staged  map[string]Staged  // the next keys, by certificate
	Records map[string]*Record // by certificate, also of those no longer in the spec
	History []Event            // of the last days, oldest first
	// Credentials are the versions of the DNS accounts' credentials, by
	// account; one that cannot be known is left out.
	Credentials map[string]string
	// Unreadable says of certificates why what is theirs cannot be looked at,
	// while others' can.
	Unreadable map[string]string
	// Unread is what of the ledger cannot be read: of records their last readable
	// version stands in, and the rest is passed over.
	Unread []Breach
	// HeldSets are what the brake holds or a person has accepted, by the ledger.
	HeldSets []HeldSet
	// Whole tells that the ledger is as it is now and all could be looked at:
	// what is pending or staged and in none of it is nobody's any more.
	Whole bool

	// AtWork are the attempts of this process that were under way, by certificate.
	// No plan is made for these: they are planned again when they have ended.
	AtWork map[string]Work

	turn int                // of the crew, in which that was looked at
	told map[string]*Record // the records as the ledger has them
	// done are the digests of the pending secrets that go once the ledger is told,
	// by certificate.
	done map[string]string
}

// isDone tells that a pending secret goes once the ledger is told: nobody takes it
// up any more.
func (o *Observed) isDone(name string, p Pending) bool {
	return p.KeyDigest != "" && p.KeyDigest == o.done[name]
}

// placeError is about one place in Vault alone.
type placeError struct{ err error }

func (p placeError) Error() string { return p.err.Error() }

// Class says that it is Vault's matter.
func (placeError) Class() string { return string(ClassVault) }

// OfPlace tells so.
func (placeError) OfPlace() bool { return true }

// CredentialVersions tells which version of a credential is there now, without
// reading it; "" for one that has no versions. One that only this machine can
// tell begins with the machine and an "@"; none has a comma.
type CredentialVersions interface {
	Version(ctx context.Context, v spec.Value) (string, error)
}

// Observer reads what is there.
type Observer struct {
	Metadata MetadataReader
	// Versions is asked where certificates are held back; nil: nobody.
	Versions CredentialVersions
	// StateMount and StatePrefix are where certroll keeps its own state.
	StateMount, StatePrefix string
	Ledger                  string // marks what it keeps there as this ledger's; "": as nobody's
	Parallel                int    // reads at once; 0: 32

	records recordCache
	history historyCache
}

// observe reads the metadata of every secret the spec or the records speak of.
// An error means that nothing is known: an unreadable Vault is never taken for
// an empty one. A place that alone cannot be read is none where lenient is set:
// one certificate's wrong path holds up no other. Of a certificate that stale
// does not name, and whose record is the one of before, what was seen of its
// secrets before stands; before is nil where nothing was seen. overlay lays over
// the ledger what it was not told yet: where that says a certificate is, is
// looked at.
func (o *Observer) observe(ctx context.Context, desired *spec.Spec, tree fs.FS, now time.Time, before *Observed, stale map[string]bool, lenient bool, overlay func(*Observed) error) (*Observed, error) {
	told, err := o.records.read(tree)
	if err != nil {
		return nil, err
	}
	obs := &Observed{Secrets: map[Location]Secret{}, Pending: map[string]Pending{}, Staged: map[string]Staged{}, Records: told, Unreadable: map[string]string{}, told: told}
	if obs.History, err = o.history.read(tree, now.Add(-historySpan)); err != nil {
		return nil, err
	}
	_, lost, err := loadProblems(tree)
	if err != nil {
		return nil, err
	}
	held, unreadHeld, err := readHeldSets(tree)
	if err != nil {
		return nil, err
	}
	obs.HeldSets = held
	obs.Unread = slices.Concat(o.records.unreadable(), lost, unreadHeld, o.history.unreadable())
	if err := overlay(obs); err != nil {
		return nil, err
	}
	obs.Credentials = o.credentials(ctx, desired, obs)
	pending, staged, err := o.kept(ctx)
	if err != nil {
		return nil, err
	}
	if before == nil {
		before = &Observed{}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(cmp.Or(max(o.Parallel, 0), 32))
	s := &sight{group: g, lenient: lenient, unreadable: obs.Unreadable, anew: func(name string) bool {
		// Whose record has changed was worked on, here or by another replica.
		return stale[name] || before.told != nil && before.told[name] != told[name]
	}}
	for _, name := range pending {
		see(s, obs.Pending, before.Pending, name, []string{name}, func() (Pending, bool, error) { return o.pending(ctx, name) })
	}
	for _, name := range staged {
		see(s, obs.Staged, before.Staged, name, []string{name}, func() (Staged, bool, error) { return o.staged(ctx, name) })
	}
	for loc, owners := range locations(desired, obs.Records) {
		see(s, obs.Secrets, before.Secrets, loc, owners, func() (Secret, bool, error) {
			secret, err := o.Secret(ctx, loc)
			secret.Custom = nil // whoever writes it anew reads it anew; of 100,000 it is much to keep
			return secret, true, err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if s.dark != nil && len(obs.Secrets) == 0 {
		return nil, s.dark
	}
	return obs, nil
}

// credentials looks at the versions that a hold may wait for to change: those
// of the DNS accounts of certificates that fail, and of accounts in trouble.
func (o *Observer) credentials(ctx context.Context, desired *spec.Spec, obs *Observed) map[string]string {
	found := map[string]string{}
	if o.Versions == nil {
		return found
	}
	look := func(name string) {
		if _, seen := found[name]; !seen && desired.DNS[name] != nil {
			found[name] = versionsOf(ctx, o.Versions, desired.DNS[name])
		}
	}
	for _, c := range desired.Certificates {
		if r := obs.Records[c.Name]; r != nil && r.Hold != nil {
			for _, name := range c.DNS {
				look(name)
			}
		}
	}
	for s := range troubles(obs.History) {
		if name, ok := s.account(); ok {
			look(name)
		}
	}
	return found
}

// credentialsOf are the versions of the credentials of one certificate's DNS
// accounts as they are now, by account.
func (o *Observer) credentialsOf(ctx context.Context, desired *spec.Spec, c *spec.Certificate) map[string]string {
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

// versionsOf is the versions of all credentials of one DNS account; "" where
// one of them cannot be known now, which is no change.
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
func (o *Observer) Secret(ctx context.Context, loc Location) (Secret, error) {
	current, live, custom, err := o.Metadata.ReadMetadata(ctx, loc.Mount, loc.Path)
	if err != nil {
		return Secret{}, err
	}
	s := Secret{Version: current, Readable: live, Custom: custom}
	if r, ok := o.Metadata.(deletions); ok && !live {
		s.DeletedAt = r.DeletedAt(loc.Mount, loc.Path)
	}
	if r, ok := o.Metadata.(destructions); ok && !live {
		s.Destroyed = r.Destroyed(loc.Mount, loc.Path)
	}
	s.Owner, s.Live, err = decodeMeta(custom)
	if err != nil {
		return Secret{}, placeError{fmt.Errorf("reading what certroll noted at %s: %w; mend or remove its custom metadata (vault kv metadata patch)", loc, err)}
	}
	if s.Live != nil {
		s.Live.Mount, s.Live.Path = loc.Mount, loc.Path
	}
	return s, nil
}

// pending reads the metadata of a pending secret. It is written before the data, and
// removed with it. So data without metadata is the first write of an attempt, which
// reached Vault after another replica had done the work and had removed all:
//
//	one   ├─ metadata ─ data ········ the link is cut ········ data ─▶
//	two                        ├─ order ─ write ─ removed ─┤
//
// It stops nothing: an attempt that is due takes it up or replaces it, and where
// none is due it is destroyed.
func (o *Observer) pending(ctx context.Context, name string) (Pending, bool, error) {
	current, live, custom, err := o.Metadata.ReadMetadata(ctx, o.StateMount, o.StatePrefix+"/pending/"+name)
	if err != nil || current == 0 || !live {
		return Pending{}, false, err
	}
	follows, err := strconv.Atoi(custom[metaVersion])
	if err != nil {
		return Pending{Stray: true}, true, nil //nolint:nilerr // what is no number is not of certroll
	}
	since, _ := time.Parse(time.RFC3339, custom[metaStarted])
	return Pending{KeyDigest: custom[metaKey], Follows: follows, Ours: o.ours(custom), Since: since}, true, nil
}

// locations are the places that matter, with the certificates they matter to:
// each one's target, and where its record says it is live, which differs once
// the spec moved it.
func locations(desired *spec.Spec, records map[string]*Record) map[Location][]string {
	locs := map[Location][]string{}
	add := func(l Location, name string) {
		if l.Path != "" {
			locs[l] = append(locs[l], name)
		}
	}
	for _, c := range desired.Certificates {
		add(targetOf(c), c.Name)
		if own := records[c.Name]; own != nil && own.State != StateRetired {
			continue // a move is done, and what was before it matters no more
		}
		for _, name := range c.MovedFrom {
			if r := records[name]; r != nil && r.Live != nil {
				add(Location{r.Live.Mount, r.Live.Path}, c.Name)
			}
		}
	}
	for _, r := range records {
		if r.holds() {
			add(Location{r.Live.Mount, r.Live.Path}, r.Certificate)
			for _, l := range r.LeftBehind {
				add(l.at(), r.Certificate)
			}
		}
	}
	return locs
}

func targetOf(c *spec.Certificate) Location { return Location{c.Vault.Mount, c.Vault.Path} }

const recordDir = "certificates"

func recordFile(name string) string { return recordDir + "/" + name + ".json" }
