package throttle

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// LimitUsed is the use of one limit of an issuer.
type LimitUsed struct {
	Issuer string
	Limit  string  // name in the spec's limits block
	Used   float64 // tokens taken from the fullest bucket; above Size after an overdraft
	Size   int     // capacity of the bucket in tokens
}

// LimitsUsed returns the use of every issuer's limits, by issuer and limit. A limit per
// domain, set or name has many buckets; the result shows the one with the most tokens
// taken, which the next order is most likely to meet.
func LimitsUsed(desired *spec.Spec, history []ledger.Event, now time.Time) []LimitUsed {
	issuers := slices.Collect(maps.Values(desired.Issuers))
	if !slices.ContainsFunc(issuers, func(i *spec.Issuer) bool { return i.Limits != nil }) {
		return nil
	}
	slices.SortFunc(issuers, func(a, b *spec.Issuer) int { return cmp.Compare(a.Name, b.Name) })
	b := NewBook(archive.Credible(history, now), AccountsOf(desired))
	var list []LimitUsed
	for _, i := range issuers {
		list = append(list, b.used(i, now)...)
	}
	return list
}

// used returns the use of an issuer's limits.
func (b *Book) used(i *spec.Issuer, now time.Time) []LimitUsed {
	if i.Limits == nil {
		return nil
	}
	account := i.Directory + " " + b.accounts.of(i.Directory, i.Name)
	var list []LimitUsed
	for _, l := range []struct {
		limit spec.Limit
		name  string
		where string
	}{
		{i.Limits.Orders, limitOrders, account},
		{i.Limits.PerDomain, limitPerDomain, i.Directory},
		{i.Limits.ExactSet, limitExactSet, i.Directory},
		{i.Limits.FailedValidations, limitFailedValidations, account},
	} {
		if l.limit.Burst == 0 {
			continue
		}
		u := LimitUsed{Issuer: i.Name, Limit: l.name, Size: l.limit.Burst}
		for key, drawn := range b.Drawn {
			if key.Limit == l.name && key.where == l.where {
				k := Bucket{Burst: l.limit.Burst, Refill: l.limit.Refill()}
				for _, at := range drawn {
					k.Take(at)
				}
				u.Used = max(u.Used, k.used(now))
			}
		}
		list = append(list, u)
	}
	return list
}
