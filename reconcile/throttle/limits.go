package throttle

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
	"certroll/spec"
	"certroll/spec/text"
)

// LimitKey identifies one bucket of one CA.
type LimitKey struct {
	Limit string // name of the limit in the spec
	where string // directory, plus the account for a limit per account
	what  string // domain, digest of the set of names, or name
}

// The CA's limits that are token buckets, by their name in the spec.
const (
	limitOrders            = "orders"
	limitPerDomain         = "certificates_per_domain"
	limitExactSet          = "exact_set"
	limitFailedValidations = "failed_validations"
)

// LimitUse is one bucket that an order takes a token from.
type LimitUse struct {
	Key   LimitKey
	limit spec.Limit
	Text  string // "50 certificates for example.com per 168h0m0s"
}

// UsesOf lists the buckets that an order for names takes tokens from. An exemption frees
// the order of some limits (RFC 9773 section 5, and Let's Encrypt's documented exemptions
// for renewals), but never of the failed validations.
func (b *Book) UsesOf(i *spec.Issuer, names []string, free ledger.Exemption) []LimitUse {
	l := i.Limits
	if l == nil {
		return nil
	}
	var uses []LimitUse
	add := func(key LimitKey, limit spec.Limit, what string) {
		if limit.Burst > 0 {
			uses = append(uses, LimitUse{key, limit, fmt.Sprintf("%d %s per %s", limit.Burst, what, times.Days(limit.Window))})
		}
	}
	account := b.accounts.ofIssuer(i)
	if free == "" {
		add(OrdersKey(i.Directory, account), l.Orders, "new orders of one account")
		for _, d := range ledger.Registered(names) {
			add(domainKey(i.Directory, d), l.PerDomain, "certificates for "+d)
		}
	}
	if free != ledger.ExemptARI {
		add(SetKey(i.Directory, keypair.NamesDigest(names)), l.ExactSet, "certificates for the same set of names")
	}
	for _, n := range names {
		add(failedKey(i.Directory, account, n), l.FailedValidations, "failed validations of "+n)
	}
	return uses
}

// OrdersKey returns the bucket of an account's new orders.
func OrdersKey(directory, account string) LimitKey {
	return LimitKey{limitOrders, directory + " " + account, ""}
}

func domainKey(directory, domain string) LimitKey {
	return LimitKey{limitPerDomain, directory, domain}
}

// SetKey returns the bucket of one exact set of names.
func SetKey(directory, digest string) LimitKey { return LimitKey{limitExactSet, directory, digest} }

func failedKey(directory, account, name string) LimitKey {
	return LimitKey{limitFailedValidations, directory + " " + account, name}
}

// Accounts maps to an ACME account, named after the first issuer that uses it. Keys are
// directory and issuer, the account's identity, and the directory alone if it has one
// account. Issuers that differ only in their profile share an account and its limits.
type Accounts map[string]string

// AccountsOf returns the accounts of a spec.
func AccountsOf(desired *spec.Spec) Accounts {
	all, several := Accounts{}, map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(desired.Issuers)) {
		i := desired.Issuers[name]
		account := text.FirstOf(all[accountIdentity(i)], name)
		all[accountIdentity(i)], all[i.Directory+" "+name] = account, account
		several[i.Directory] = several[i.Directory] || text.FirstOf(all[i.Directory], account) != account
		all[i.Directory] = account
	}
	for directory, more := range several {
		if more {
			delete(all, directory)
		}
	}
	return all
}

// accountIdentity returns what makes two issuers share an account: directory, account name
// and EAB key.
func accountIdentity(i *spec.Issuer) string {
	identity := i.Directory + "\x00" + i.Account
	if i.EAB != nil {
		identity += "\x00" + ValueText(i.EAB.KeyID)
	}
	return identity
}

// of returns the account of a directory and an issuer. An issuer that left the spec is
// assumed to have used the directory's only account: after a rename of a block, its orders
// still count. If the directory has several, the issuer's name stands for its account.
func (a Accounts) of(directory, issuer string) string {
	return text.FirstOf(a[directory+" "+issuer], a[directory], issuer)
}

// ofIssuer returns the account of an issuer, which may be a block of an earlier revision
// with an account that the spec no longer has.
func (a Accounts) ofIssuer(i *spec.Issuer) string {
	return text.FirstOf(a[accountIdentity(i)], accountIdentity(i))
}

// Book is the record of all tokens taken, according to the audit log.
type Book struct {
	accounts Accounts
	Drawn    map[LimitKey][]time.Time
	buckets  map[LimitKey]map[spec.Limit]*Bucket // by limit, since two blocks of one account may state different limits
}

// mostOrders bounds the orders that one event may count. An attempt makes a few; anyone
// with push access to the ledger could write any number.
const mostOrders = 10

// NewBook reads the tokens taken from the events, oldest first. It identifies an order by
// its URL, so that an order that took several attempts counts once.
func NewBook(events []ledger.Event, who Accounts) *Book {
	b := &Book{accounts: who, Drawn: map[LimitKey][]time.Time{}, buckets: map[LimitKey]map[spec.Limit]*Bucket{}}
	draw := func(key LimitKey, at time.Time) { b.Drawn[key] = append(b.Drawn[key], at) }
	orders, issued := map[string]bool{}, map[string]bool{}
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
				draw(OrdersKey(e.Directory, who.of(e.Directory, e.Issuer)), e.Time)
			}
		}
		// The CA counts an issued certificate even if certroll did not write it; count it
		// once.
		if (e.Status == ledger.Success || e.Unfit) && e.OrderURL != "" && !issued[e.OrderURL] {
			issued[e.OrderURL] = true
			if e.Exempt == "" {
				for _, d := range ledger.Registered(e.Names) {
					draw(domainKey(e.Directory, d), e.Time)
				}
			}
			if e.Exempt != ledger.ExemptARI {
				draw(SetKey(e.Directory, keypair.NamesDigest(e.Names)), e.Time)
			}
		}
		for _, n := range e.FailedNames {
			draw(failedKey(e.Directory, who.of(e.Directory, e.Issuer), n), e.Time)
		}
	}
	return b
}

func (b *Book) bucket(u LimitUse) *Bucket {
	k, ok := b.buckets[u.Key][u.limit]
	if !ok {
		k = &Bucket{Burst: u.limit.Burst, Refill: u.limit.Refill()}
		for _, at := range b.Drawn[u.Key] {
			k.Take(at)
		}
		if b.buckets[u.Key] == nil {
			b.buckets[u.Key] = map[spec.Limit]*Bucket{}
		}
		b.buckets[u.Key][u.limit] = k
	}
	return k
}

// take takes a token from every bucket of a key.
func (b *Book) take(key LimitKey, at time.Time) {
	b.Drawn[key] = append(b.Drawn[key], at)
	for _, k := range b.buckets[key] {
		k.Take(at)
	}
}

// Order takes the tokens of an order for names. It counts even if the issuer's block states
// no limit: another block of the same account may state one, or the next revision. It takes
// none from the failed validations, since only a failure does.
func (b *Book) Order(i *spec.Issuer, names []string, free ledger.Exemption, at time.Time) {
	if free == "" {
		b.take(OrdersKey(i.Directory, b.accounts.ofIssuer(i)), at)
		for _, d := range ledger.Registered(names) {
			b.take(domainKey(i.Directory, d), at)
		}
	}
	if free != ledger.ExemptARI {
		b.take(SetKey(i.Directory, keypair.NamesDigest(names)), at)
	}
}

// Reserve returns the earliest time at which an order passes no limit, and takes its
// tokens. by is the limit that delays the order; nil if none does.
//
// A delayed order takes a token only from the limit that delays it, so that the next order
// comes after it. Tokens of the other limits, taken for that later time, would delay orders
// that could go now.
func (b *Book) Reserve(i *spec.Issuer, names []string, free ledger.Exemption, now time.Time) (at time.Time, by *LimitUse) {
	at, by = b.first(b.UsesOf(i, names, free), now)
	switch {
	case by == nil:
		b.Order(i, names, free, at)
	case by.Key.Limit != limitFailedValidations:
		b.take(by.Key, at)
	}
	return at, by
}

// Free returns when an order would pass no limit. It takes no tokens.
func (b *Book) Free(uses []LimitUse, now time.Time) time.Time {
	at, _ := b.first(uses, now)
	return at
}

func (b *Book) first(uses []LimitUse, now time.Time) (at time.Time, by *LimitUse) {
	at = now
	for i := range uses {
		if next := b.bucket(uses[i]).Next(now); next.After(at) {
			at, by = next, &uses[i]
		}
	}
	return at, by
}

// ValueText identifies a value by its reference and not by the secret that it refers to.
func ValueText(v spec.Value) string {
	return strings.Join([]string{string(v.Source), v.Text, v.Path, v.Field, v.Name}, "\x1f")
}
