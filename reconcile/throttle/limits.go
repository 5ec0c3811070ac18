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

// LimitKey names one bucket of one CA.
type LimitKey struct {
	Limit string // as the spec calls it
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

// LimitUse is one bucket that an order draws from.
type LimitUse struct {
	Key   LimitKey
	limit spec.Limit
	Text  string // "50 certificates for example.com per 168h0m0s"
}

// UsesOf lists the buckets that an order for names draws from.
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

// OrdersKey is the bucket of an account's new orders.
func OrdersKey(directory, account string) LimitKey {
	return LimitKey{limitOrders, directory + " " + account, ""}
}

func domainKey(directory, domain string) LimitKey {
	return LimitKey{limitPerDomain, directory, domain}
}

// SetKey is the bucket of the same set of names.
func SetKey(directory, digest string) LimitKey { return LimitKey{limitExactSet, directory, digest} }

func failedKey(directory, account, name string) LimitKey {
	return LimitKey{limitFailedValidations, directory + " " + account, name}
}

// Accounts are the ACME accounts of the spec's issuers, each by the name of the first
// issuer that has it: by directory and issuer, by what makes an account one, and by
// the directory alone where it has one account. Issuers that differ in no more than
// their profile share one, and its limits.
type Accounts map[string]string

// AccountsOf finds the accounts of a spec.
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

// accountIdentity is what makes the account of an issuer one and the same, whatever
// else its block says.
func accountIdentity(i *spec.Issuer) string {
	identity := i.Directory + "\x00" + i.Account
	if i.EAB != nil {
		identity += "\x00" + ValueText(i.EAB.KeyID)
	}
	return identity
}

// of names an account by the first of the issuers that share it. An issuer that is
// gone from the spec was of the directory's only account, as far as is known, or has
// one by itself: a block that was renamed takes its account's past along.
func (a Accounts) of(directory, issuer string) string {
	return text.FirstOf(a[directory+" "+issuer], a[directory], issuer)
}

// ofIssuer names the account of an issuer, which may be a block of an earlier revision
// with an account that the spec has no more.
func (a Accounts) ofIssuer(i *spec.Issuer) string {
	return text.FirstOf(a[accountIdentity(i)], accountIdentity(i))
}

// Book is what was drawn from all buckets, as the audit log tells it.
type Book struct {
	accounts Accounts
	Drawn    map[LimitKey][]time.Time
	buckets  map[LimitKey]map[spec.Limit]*Bucket // two blocks of one account may state different limits
}

// mostOrders bounds what one event is believed to have ordered: an attempt makes
// no more than a few, and whoever may push to the ledger can write any number.
const mostOrders = 10

// NewBook reads the draws off the events, oldest first. An order is known by
// its URL, so that one which took several attempts counts once.
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
		// What was issued counts at the CA also where it was not written, once.
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

// take draws from all buckets of a key.
func (b *Book) take(key LimitKey, at time.Time) {
	b.Drawn[key] = append(b.Drawn[key], at)
	for _, k := range b.buckets[key] {
		k.Take(at)
	}
}

// Order draws for an order for names. What it draws from is the account's and the
// CA's, whether the issuer's block states a limit or not: another block of the account
// may, or the same one in the next revision. Only a failure draws from the failed
// validations, and it is not expected.
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

// Reserve finds the earliest moment at which an order passes no limit, and
// draws for it. by is the limit that makes it wait; nil where none does.
//
// What waits draws from the limit it waits for alone, so that the next in the
// queue comes after it. Drawn from the others at that later moment it would
// make everybody wait who need not.
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

// Free is when an order would pass no limit; nothing is drawn for it.
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

// ValueText is a value as it is written, not what it refers to.
func ValueText(v spec.Value) string {
	return strings.Join([]string{string(v.Source), v.Text, v.Path, v.Field, v.Name}, "\x1f")
}
