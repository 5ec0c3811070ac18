package plan

import (
	"io/fs"
	"maps"
	"slices"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// ObserveRecords builds the observed state from the ledger alone, for a plan without access
// to Vault. Records contain everything that a secret's metadata does. Missing are events
// since then: a secret that another program overwrote or deleted, a run that crashed, a new
// credential.
func ObserveRecords(tree fs.FS, now time.Time) (*Observed, error) {
	var cache archive.RecordCache
	var history archive.HistoryCache
	records, err := cache.Read(tree)
	if err != nil {
		return nil, err
	}
	obs := &Observed{Secrets: map[ledger.Location]Secret{}, Pending: map[string]Pending{}, Staged: map[string]Staged{}, Records: records, Credentials: map[string]string{}}
	if obs.History, err = history.Read(tree, now.Add(-archive.HistorySpan)); err != nil {
		return nil, err
	}
	held, lost, err := archive.ReadHeldSets(tree)
	if err != nil {
		return nil, err
	}
	obs.HeldSets, obs.Unread = held, slices.Concat(cache.Lost, lost, history.Lost)
	for _, name := range slices.Sorted(maps.Keys(records)) {
		r := records[name]
		if r.Live == nil {
			continue
		}
		at := ledger.Location{Mount: r.Live.Mount, Path: r.Live.Path}
		if _, taken := obs.Secrets[at]; taken && r.State == ledger.StateRetired {
			continue // its heir's secret is there
		}
		// A copy, because the record keeps its own.
		live := *r.Live
		stays := r.State != ledger.StateRetired || r.OnRemove == spec.Keep || r.OnRemove == ""
		if live.NextKeyDigest != "" {
			obs.Staged[name] = Staged{KeyDigest: live.NextKeyDigest, KeyShape: live.NextKeyShape}
		}
		obs.Secrets[at] = Secret{Version: live.Version, Readable: stays, Owner: name, Live: &live}
	}
	return obs, nil
}

// Union returns the certificates and DNS accounts to observe for planning two specs. If
// both specs have a DNS account, it takes that of b. Use it to observe, not to plan.
func Union(a, b *spec.Spec) *spec.Spec {
	u := &spec.Spec{Issuers: maps.Clone(a.Issuers), DNS: maps.Clone(a.DNS)}
	maps.Copy(u.Issuers, b.Issuers)
	maps.Copy(u.DNS, b.DNS)
	u.Certificates = slices.Clone(b.Certificates)
	for _, c := range a.Certificates {
		if other := b.Certificate(c.Name); other == nil || TargetOf(other) != TargetOf(c) {
			u.Certificates = append(u.Certificates, c)
		}
	}
	return u
}
