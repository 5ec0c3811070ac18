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

// LimitUsed is how far one limit of an issuer is used up.
type LimitUsed struct {
	Issuer string
	Limit  string  // as in the spec's limits block
	Used   float64 // tokens that are gone from the fullest-used of its buckets; more than Size where it was passed
	Size   int     // tokens of such a bucket
}

// LimitsUsed is how far the limits of all issuers are used up, by issuer and
// limit. Of a limit that there is for each domain, set or name it is the one
// that is used up most: what the next order may meet.
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

// used is how far an issuer's limits are used up.
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
