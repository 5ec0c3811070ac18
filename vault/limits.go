package vault

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Limits are what a secret's own metadata sets beside or against its mount, and
// what becomes of the current version by that. Vault sends them with the metadata
// that a plan reads anyway, so that they cost no call.
//
// https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2#read-secret-metadata
type Limits struct {
	Mount, Path string
	Versions    int           // that are kept; 0: as many as the mount says
	DeleteAfter time.Duration // every version, the current one too; 0: as the mount says
	CASRequired bool          // a write without check-and-set is refused
	// DeletedAt is when the current version was deleted, or will be by itself; zero:
	// it stays.
	DeletedAt time.Time
	Destroyed bool // the data of the current version was destroyed
}

// set tells that there is something to remember.
func (l Limits) set() bool {
	return l.Versions > 0 || l.DeleteAfter > 0 || l.CASRequired || !l.DeletedAt.IsZero() || l.Destroyed
}

// limitCache remembers the limits of the secrets whose metadata was read last with
// any. Secrets without are not in it, which are nearly all.
type limitCache struct {
	mu   sync.Mutex
	seen map[[2]string]Limits // by mount and path
}

func (c *limitCache) note(l Limits) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := [2]string{l.Mount, l.Path}
	if !l.set() {
		delete(c.seen, at)
		return
	}
	if c.seen == nil {
		c.seen = map[[2]string]Limits{}
	}
	c.seen[at] = l
}

// Limits are those of all secrets whose metadata was read, by mount and path.
func (kv *KV) Limits() []Limits {
	kv.limits.mu.Lock()
	defer kv.limits.mu.Unlock()
	list := make([]Limits, 0, len(kv.limits.seen))
	for _, l := range kv.limits.seen {
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b Limits) int { return cmp.Or(cmp.Compare(a.Mount, b.Mount), cmp.Compare(a.Path, b.Path)) })
	return list
}

// DeletedAt is when the current version of a secret was deleted, or will be by
// itself, as its metadata said when it was read last; zero where it did not.
func (kv *KV) DeletedAt(mount, path string) time.Time {
	kv.limits.mu.Lock()
	defer kv.limits.mu.Unlock()
	return kv.limits.seen[[2]string{mount, path}].DeletedAt
}

// Destroyed tells whether the data of the current version of a secret was destroyed,
// as its metadata said when it was read last.
func (kv *KV) Destroyed(mount, path string) bool {
	kv.limits.mu.Lock()
	defer kv.limits.mu.Unlock()
	return kv.limits.seen[[2]string{mount, path}].Destroyed
}

// metadata is what KV v2 says of a secret.
type metadata struct {
	Current     int                    `json:"current_version"`
	Versions    map[string]versionInfo `json:"versions"`
	Custom      map[string]string      `json:"custom_metadata"`
	MaxVersions int                    `json:"max_versions"`
	DeleteAfter string                 `json:"delete_version_after"`
	CASRequired bool                   `json:"cas_required"`
}

// limits are those that the metadata sets. What is no time or span of time counts
// as none: it warns of nothing, and stops no plan.
func (m *metadata) limits(mount, path string, current versionInfo) Limits {
	l := Limits{Mount: mount, Path: path, Versions: m.MaxVersions, CASRequired: m.CASRequired, Destroyed: current.Destroyed}
	if after, err := time.ParseDuration(m.DeleteAfter); err == nil && after > 0 {
		l.DeleteAfter = after
	}
	if at, err := time.Parse(time.RFC3339Nano, current.DeletionTime); err == nil {
		l.DeletedAt = at
	}
	return l
}
