package vault

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Limits are the settings in a secret's own metadata that add to or override its mount's,
// and their effect on the current version. Vault returns them with the metadata that a
// plan reads anyway, so that they cost no request.
//
// https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2#read-secret-metadata
type Limits struct {
	Mount, Path string
	Versions    int           // versions kept; 0: the mount's setting
	DeleteAfter time.Duration // lifetime of every version, including the current one; 0: the mount's setting
	CASRequired bool          // Vault rejects a write without check-and-set
	// DeletedAt is the past or scheduled deletion of the current version; zero: none.
	DeletedAt time.Time
	Destroyed bool // the data of the current version is destroyed
}

// set reports whether there is anything to remember.
func (l Limits) set() bool {
	return l.Versions > 0 || l.DeleteAfter > 0 || l.CASRequired || !l.DeletedAt.IsZero() || l.Destroyed
}

// limitCache remembers the limits found by the last read of each secret's metadata. Most
// secrets have none and are not in it.
type limitCache struct {
	mu   sync.Mutex
	seen map[[2]string]Limits // by mount and path
}

// note stores or removes the limits of a secret.
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

// Limits returns the limits of all secrets whose metadata was read, sorted by mount and
// path.
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

// DeletedAt returns the past or scheduled deletion of a secret's current version,
// according to the last read of its metadata; zero: none.
func (kv *KV) DeletedAt(mount, path string) time.Time {
	kv.limits.mu.Lock()
	defer kv.limits.mu.Unlock()
	return kv.limits.seen[[2]string{mount, path}].DeletedAt
}

// Destroyed reports whether the data of a secret's current version is destroyed,
// according to the last read of its metadata.
func (kv *KV) Destroyed(mount, path string) bool {
	kv.limits.mu.Lock()
	defer kv.limits.mu.Unlock()
	return kv.limits.seen[[2]string{mount, path}].Destroyed
}

// metadata is KV v2's data about a secret.
type metadata struct {
	Current     int                    `json:"current_version"`
	Versions    map[string]versionInfo `json:"versions"`
	Custom      map[string]string      `json:"custom_metadata"`
	MaxVersions int                    `json:"max_versions"`
	DeleteAfter string                 `json:"delete_version_after"`
	CASRequired bool                   `json:"cas_required"`
}

// limits returns the limits in the metadata. It ignores values that it cannot parse,
// because limits only cause warnings and must stop no plan.
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
