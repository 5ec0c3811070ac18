package reconcile

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"certroll/spec"
)

// Exemption says from which of its limits a CA frees a renewal.
// https://letsencrypt.org/docs/rate-limits/#limit-exemptions-for-renewals
type Exemption string

// The exemptions.
const (
	// ExemptARI is a renewal sent inside its suggested window with "replaces"
	// (RFC 9773 section 5): free of the limits on orders and certificates.
	ExemptARI Exemption = "ari"
	// ExemptRenewal is another certificate for the very same names: free of
	// the limits on orders and on certificates per domain.
	ExemptRenewal Exemption = "renewal"
)

// limitKey names one bucket of one CA.
type limitKey struct {
	limit string // as the spec calls it
	where string // the directory, with the account where the limit is an account's
	what  string // the domain, the set of names, the name
}

// The limits that are buckets, as the spec calls them.
const (
	limitOrders            = "orders"
	limitPerDomain         = "certificates_per_domain"
	limitExactSet          = "exact_set"
	limitFailedValidations = "failed_validations"
)

// limitUse is one bucket that an order draws from.
type limitUse struct {
	key   limitKey
	limit spec.Limit
	text  string // "50 certificates for example.com per 168h0m0s"
}

// usesOf lists the buckets that an order for names draws from.
func (b *book) usesOf(i *spec.Issuer, names []string, free Exemption) []limitUse {
	l := i.Limits
	if l == nil {
		return nil
	}
	var uses []limitUse
	add := func(key limitKey, limit spec.Limit, what string) {
		if limit.Burst > 0 {
			uses = append(uses, limitUse{key, limit, fmt.Sprintf("%d %s per %s", limit.Burst, what, days(limit.Window))})
		}
	}
	account := b.accounts.of(i.Directory, i.Name)
	if free == "" {
		add(ordersKey(i.Directory, account), l.Orders, "new orders of one account")
		for _, d := range registered(names) {
			add(domainKey(i.Directory, d), l.PerDomain, "certificates for "+d)
		}
	}
	if free != ExemptARI {
		add(setKey(i.Directory, namesDigest(names)), l.ExactSet, "certificates for the same set of names")
	}
	for _, n := range names {
		add(failedKey(i.Directory, account, n), l.FailedValidations, "failed validations of "+n)
	}
	return uses
}

func ordersKey(directory, account string) limitKey {
	return limitKey{limitOrders, directory + " " + account, ""}
}

func domainKey(directory, domain string) limitKey {
	return limitKey{limitPerDomain, directory, domain}
}

func setKey(directory, digest string) limitKey { return limitKey{limitExactSet, directory, digest} }

func failedKey(directory, account, name string) limitKey {
	return limitKey{limitFailedValidations, directory + " " + account, name}
}

// registered are the registered domains of names, each once: what CAs count
// certificates by. An address counts as itself, or as its /64.
func registered(names []string) []string {
	var domains []string
	for _, n := range names {
		d := registeredDomain(n)
		if !slices.Contains(domains, d) {
			domains = append(domains, d)
		}
	}
	return domains
}

func registeredDomain(name string) string {
	if ip, err := netip.ParseAddr(name); err == nil {
		if ip.Is4() {
			return ip.String()
		}
		prefix, err := ip.Prefix(64)
		if err != nil {
			return name
		}
		return prefix.String()
	}
	name = strings.TrimPrefix(name, "*.")
	if d, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return d
	}
	return name
}

// accounts are the ACME accounts of the spec's issuers, by directory and issuer.
// Issuers that differ in no more than their profile share one, and its limits.
type accounts map[string]string

func accountsOf(desired *spec.Spec) accounts {
	first, all := map[string]string{}, accounts{}
	for _, name := range slices.Sorted(maps.Keys(desired.Issuers)) {
		i := desired.Issuers[name]
		account := i.Directory + "\x00" + strings.ToLower(i.Email)
		if i.EAB != nil {
			account += "\x00" + valueText(i.EAB.KeyID)
		}
		first[account] = firstOf(first[account], name)
		all[i.Directory+" "+name] = first[account]
	}
	return all
}

// of names an account by the first of the issuers that share it; that of an
// issuer that is gone from the spec by itself.
func (a accounts) of(directory, issuer string) string {
	return firstOf(a[directory+" "+issuer], issuer)
}

// book is what was drawn from all buckets, as the audit log tells it.
type book struct {
	accounts accounts
	drawn    map[limitKey][]time.Time
	buckets  map[limitKey]*bucket
}

// mostOrders bounds what one event is believed to have ordered: an attempt makes
// no more than a few, and whoever may push to the ledger can write any number.
const mostOrders = 10

// newBook reads the draws off the events, oldest first. An order is known by
// its URL, so that one which took several attempts counts once.
func newBook(events []Event, who accounts) *book {
	b := &book{accounts: who, drawn: map[limitKey][]time.Time{}, buckets: map[limitKey]*bucket{}}
	draw := func(key limitKey, at time.Time) { b.drawn[key] = append(b.drawn[key], at) }
	orders := map[string]bool{}
	for _, e := range events {
		if e.Directory == "" {
			continue
		}
		if e.Exempt == "" {
			made := min(max(e.Orders-1, 0), mostOrders)
			if e.OrderURL != "" && !orders[e.OrderURL] {
				orders[e.OrderURL] = true
				made++
			}
			for range made {
				draw(ordersKey(e.Directory, who.of(e.Directory, e.Issuer)), e.Time)
			}
		}
		if e.Status == Success && e.OrderURL != "" {
			if e.Exempt == "" {
				for _, d := range registered(e.Names) {
					draw(domainKey(e.Directory, d), e.Time)
				}
			}
			if e.Exempt != ExemptARI {
				draw(setKey(e.Directory, namesDigest(e.Names)), e.Time)
			}
		}
		for _, n := range e.FailedNames {
			draw(failedKey(e.Directory, who.of(e.Directory, e.Issuer), n), e.Time)
		}
	}
	return b
}

func (b *book) bucket(u limitUse) *bucket {
	k, ok := b.buckets[u.key]
	if !ok {
		k = &bucket{burst: u.limit.Burst, refill: u.limit.Refill()}
		for _, at := range b.drawn[u.key] {
			k.take(at)
		}
		b.buckets[u.key] = k
	}
	return k
}

// reserve finds the earliest moment at which an order passes no limit, and
// draws for it. by is the limit that makes it wait; nil where none does.
//
// What waits draws from the limit it waits for alone, so that the next in the
// queue comes after it. Drawn from the others at that later moment it would
// make everybody wait who need not.
func (b *book) reserve(uses []limitUse, now time.Time) (at time.Time, by *limitUse) {
	at, by = b.first(uses, now)
	for _, u := range uses {
		// Only a failure draws from the failed validations, and it is not expected.
		if (by == nil || u.key == by.key) && u.key.limit != limitFailedValidations {
			b.bucket(u).take(at)
		}
	}
	return at, by
}

// free is when an order would pass no limit; nothing is drawn for it.
func (b *book) free(uses []limitUse, now time.Time) time.Time {
	at, _ := b.first(uses, now)
	return at
}

func (b *book) first(uses []limitUse, now time.Time) (at time.Time, by *limitUse) {
	at = now
	for i := range uses {
		if next := b.bucket(uses[i]).next(now); next.After(at) {
			at, by = next, &uses[i]
		}
	}
	return at, by
}
