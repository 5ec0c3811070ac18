package pending

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
)

// Secret is a pending secret: all that the next run needs to finish an attempt
// with the same key and the same order. It lives in Vault only.
type Secret struct {
	Operation ledger.Kind
	Reason    ledger.Reason
	Detail    string
	Actor     string
	Cause     string
	Revision  string
	Rotate    string
	Names     []string
	Issuer    string
	Directory string
	Profile   string
	At        ledger.Location // where the pair goes
	CAS       int             // the version it is to follow
	OldSerial string
	// Revokes is what is revoked once the new one is live; nil: nothing.
	Revokes *ledger.Revocation
	Started time.Time
	// Tries counts the runs that took it up since one has told how it went.
	Tries   int
	TriedAt time.Time // the last of them; zero: none

	Key       crypto.Signer
	KeyDigest string
	KeyShape  string
	KeySince  time.Time // zero: since this attempt
	// BlockedKey is the digest of the key that the CA did not take, and whose place
	// Key took; "": none.
	BlockedKey string
	OrderURL   string
	// Answers are the challenges that TXT records may have been written for, by this
	// run and by those before it that did not come to an end; see answers.go.
	Answers  []Answer
	Exempt   ledger.Exemption
	Account  string   // the DNS account that worked last
	Accounts []string // all that answered for a name
	// Processing is since when the CA is known to be at work on the order; zero: it
	// is not. Refused counts the attempts that failed with the order. Both end with it.
	Processing time.Time
	Refused    int
	// Unfit is when the certificate of the order was first refused; zero: it was not.
	// UnfitOrders counts the orders of the attempt whose certificates were. UnfitUntil is
	// until when the order is kept; zero: an earlier version wrote the draft.
	UnfitOrders int
	Unfit       time.Time
	UnfitUntil  time.Time
	Chain       string // PEM, leaf first
	// DataDigest identifies the fields about to be written, so that a run
	// that died right after the write knows them again.
	DataDigest string

	// Next is staged once the pair is live, for key.next; nil: nothing is. It is
	// made here and not after the write, so that the secret itself can name it.
	Next *StagedKey

	Stored    int      // version of the pending secret; 0: not stored yet
	Described bool     // its metadata speaks of this draft
	Inherited []Answer // of Answers, those of earlier runs
}

// Phase is how far a draft came, read off the facts.
type Phase int

// The phases, in the order of an attempt.
const (
	phaseNew     Phase = iota // nothing is stored
	phaseKeyed                // a key, but no order
	PhaseOrdered              // an order at the CA
	PhaseChained              // the chain is here
)

// PhaseOf reads the phase off a draft; nil is none.
func PhaseOf(d *Secret) Phase {
	switch {
	case d == nil || d.Stored == 0:
		return phaseNew
	case d.Chain != "":
		return PhaseChained
	case d.OrderURL != "":
		return PhaseOrdered
	default:
		return phaseKeyed
	}
}

// Fits tells whether a draft left by an earlier run is what is wanted now.
func (d *Secret) Fits(c *spec.Certificate, i *spec.Issuer, shape string, cas int, rotate string, revokes *ledger.Revocation) bool {
	return d.revokesAs(revokes) && keypair.NamesDigest(d.Names) == keypair.NamesDigest(c.Names()) && d.Directory == i.Directory && d.Profile == i.Profile &&
		d.KeyShape == shape && d.At == plan.TargetOf(c) && d.CAS == cas && ledger.RotateToken(d.Rotate) == ledger.RotateToken(rotate)
}

// revokesAs tells whether it revokes the same, for the same reason.
func (d *Secret) revokesAs(r *ledger.Revocation) bool {
	if d.Revokes == nil || r == nil {
		return d.Revokes == r
	}
	return d.Revokes.Serial == r.Serial && d.Revokes.Code == r.Code
}

// Secrets keeps pending secrets.
type Secrets struct {
	Secrets KV
	Mount   string
	Prefix  string
	Ledger  string // whose they are
}

// DraftError is about a pending secret that is there and is no draft that this
// version reads.
type DraftError struct{ error }

// Unwrap is the reason.
func (e *DraftError) Unwrap() error { return e.error }

func (s *Secrets) path(name string) string { return s.Prefix + "/pending/" + name }

// Load reads the draft of a certificate; nil where there is none.
func (s *Secrets) Load(ctx context.Context, name string) (*Secret, error) {
	data, version, err := s.Secrets.Read(ctx, s.Mount, s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d, err := DecodeSecret(data)
	if err != nil {
		return nil, &DraftError{fmt.Errorf("reading the pending secret %s/%s: %w", s.Mount, s.path(name), err)}
	}
	for i := range d.Answers {
		if n := &d.Answers[i]; n.Issuer == "" {
			n.Issuer, n.Directory = d.Issuer, d.Directory
		}
	}
	d.Stored, d.Described, d.Inherited = version, true, slices.Clone(d.Answers)
	return d, nil
}

// Store writes a draft; evidence before the step that follows it. The key's
// digest and the version it is to follow stand in the metadata too, where Plan
// may read them. They are written first, so that no draft is ever without.
func (s *Secrets) Store(ctx context.Context, name string, d *Secret) error {
	data, err := d.Encode()
	if err != nil {
		return err
	}
	cas := d.Stored
	if cas == 0 {
		// A draft that was dropped leaves no version, a deleted one does.
		if cas, _, _, err = s.Secrets.ReadMetadata(ctx, s.Mount, s.path(name)); err != nil {
			return err
		}
	}
	if !d.Described {
		meta := map[string]string{observe.MetaKey: d.KeyDigest, observe.MetaVersion: strconv.Itoa(d.CAS), observe.MetaStarted: d.Started.UTC().Format(time.RFC3339)}
		err = s.Secrets.WriteMetadata(ctx, s.Mount, s.path(name), observe.StateMeta(meta, s.Ledger))
		if err != nil {
			return err
		}
		d.Described = true
	}
	d.Stored, err = s.Secrets.Write(ctx, s.Mount, s.path(name), data, cas)
	return err
}

// Drop removes a pending secret.
func (s *Secrets) Drop(ctx context.Context, name string) error {
	return s.Secrets.Destroy(ctx, s.Mount, s.path(name))
}

// Encode is the secret as Vault keeps it.
func (d *Secret) Encode() (map[string]string, error) {
	key, err := keypair.EncodeKey(d.Key)
	if err != nil {
		return nil, err
	}
	m := map[string]string{
		"schema": "1", "operation": string(d.Operation), "reason": string(d.Reason), "detail": d.Detail,
		"actor": d.Actor, "cause": d.Cause, "revision": d.Revision, "rotate": d.Rotate,
		"names": strings.Join(d.Names, " "), "issuer": d.Issuer, "directory": d.Directory, "profile": d.Profile,
		"mount": d.At.Mount, "path": d.At.Path, "cas": strconv.Itoa(d.CAS), "old_serial": d.OldSerial,
		"started": d.Started.UTC().Format(time.RFC3339Nano),
		"key":     key, "key_shape": d.KeyShape, "order_url": d.OrderURL, "account": d.Account, "accounts": strings.Join(d.Accounts, " "),
		"blocked_key": d.BlockedKey, "chain": d.Chain, "data_digest": d.DataDigest, "exempt": string(d.Exempt),
	}
	if d.Tries > 0 {
		m["tries"], m["tried_at"] = strconv.Itoa(d.Tries), d.TriedAt.UTC().Format(time.RFC3339)
	}
	for field, n := range map[string]int{"refused": d.Refused, "unfit_orders": d.UnfitOrders} {
		if n > 0 {
			m[field] = strconv.Itoa(n)
		}
	}
	for field, at := range map[string]time.Time{"processing": d.Processing, "unfit": d.Unfit, "unfit_until": d.UnfitUntil} {
		if !at.IsZero() {
			m[field] = at.UTC().Format(time.RFC3339)
		}
	}
	if len(d.Answers) > 0 {
		b, err := json.Marshal(d.Answers)
		if err != nil {
			return nil, fmt.Errorf("encoding the answered challenges: %w", err)
		}
		m["answers"] = string(b)
	}
	if d.Revokes != nil {
		b, err := json.Marshal(d.Revokes)
		if err != nil {
			return nil, fmt.Errorf("encoding what a rotation revokes: %w", err)
		}
		m["revokes"] = string(b)
	}
	if d.Next != nil {
		if m["next_key"], err = keypair.EncodeKey(d.Next.Key); err != nil {
			return nil, err
		}
	}
	if !d.KeySince.IsZero() {
		m["key_since"] = d.KeySince.UTC().Format(time.RFC3339)
	}
	return m, nil
}

// DecodeSecret reads what Encode wrote.
func DecodeSecret(m map[string]string) (*Secret, error) {
	if m["schema"] != "1" {
		return nil, fmt.Errorf("its schema is %q, this certroll reads 1: finish it with the certroll that wrote it, or delete it", m["schema"])
	}
	d := &Secret{
		Operation: ledger.Kind(m["operation"]), Reason: ledger.Reason(m["reason"]), Detail: m["detail"],
		Actor: m["actor"], Cause: m["cause"], Revision: m["revision"], Rotate: m["rotate"],
		Names: strings.Fields(m["names"]), Issuer: m["issuer"], Directory: m["directory"], Profile: m["profile"],
		At: ledger.Location{Mount: m["mount"], Path: m["path"]}, OldSerial: m["old_serial"], KeyShape: m["key_shape"],
		Exempt: ledger.Exemption(m["exempt"]), BlockedKey: m["blocked_key"],
		OrderURL: m["order_url"], Account: m["account"], Accounts: strings.Fields(m["accounts"]), Chain: m["chain"], DataDigest: m["data_digest"],
	}
	var err error
	if d.CAS, err = strconv.Atoi(m["cas"]); err != nil {
		return nil, fmt.Errorf("its cas %q is no number", m["cas"])
	}
	if d.Started, err = time.Parse(time.RFC3339Nano, m["started"]); err != nil {
		return nil, fmt.Errorf("its time %q is no RFC 3339 time", m["started"])
	}
	if tries := m["tries"]; tries != "" {
		if d.Tries, err = strconv.Atoi(tries); err != nil {
			return nil, fmt.Errorf("its tries %q is no number", tries)
		}
		if d.TriedAt, err = time.Parse(time.RFC3339, m["tried_at"]); err != nil {
			return nil, fmt.Errorf("its tried_at %q is no RFC 3339 time", m["tried_at"])
		}
	}
	for field, n := range map[string]*int{"refused": &d.Refused, "unfit_orders": &d.UnfitOrders} {
		if m[field] != "" {
			if *n, err = strconv.Atoi(m[field]); err != nil {
				return nil, fmt.Errorf("its %s %q is no number", field, m[field])
			}
		}
	}
	for field, at := range map[string]*time.Time{"processing": &d.Processing, "unfit": &d.Unfit, "unfit_until": &d.UnfitUntil} {
		if since := m[field]; since != "" {
			if *at, err = time.Parse(time.RFC3339, since); err != nil {
				return nil, fmt.Errorf("its %s %q is no RFC 3339 time", field, since)
			}
		}
	}
	if text := m["revokes"]; text != "" {
		d.Revokes = &ledger.Revocation{}
		if err = json.Unmarshal([]byte(text), d.Revokes); err != nil {
			return nil, fmt.Errorf("its revokes is no record of a revocation: %w", err)
		}
	}
	if text := m["answers"]; text != "" {
		if err = json.Unmarshal([]byte(text), &d.Answers); err != nil {
			return nil, fmt.Errorf("its answers are no list of challenges: %w", err)
		}
	}
	if since := m["key_since"]; since != "" {
		if d.KeySince, err = time.Parse(time.RFC3339, since); err != nil {
			return nil, fmt.Errorf("its key_since %q is no RFC 3339 time", since)
		}
	}
	if text := m["next_key"]; text != "" {
		if d.Next, err = readStaged(text); err != nil {
			return nil, err
		}
	}
	if d.Key, err = keypair.DecodeKey(m["key"]); err != nil {
		return nil, err
	}
	d.KeyDigest, err = keypair.KeyDigest(d.Key.Public())
	return d, err
}

// DataDigest identifies the fields of a secret.
func DataDigest(data map[string]string) string {
	b, err := json.Marshal(data) // maps are encoded in the order of their keys
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// How long the order of a certificate that was refused is kept: each attempt until
// then reads the order's certificate and chains again, and orders nothing. The first
// one may be a slip of the CA and has another order after a day; after the second one,
// and where the chain has ended, that takes as long as CAs count their limits. Neither
// takes longer than a tenth of the life of what is live, which would expire meanwhile.
const (
	UnfitOnce  = times.Day
	UnfitAgain = 7 * times.Day
)

// RefusedUntil is until when the order of a certificate that was refused is kept.
func (d *Secret) RefusedUntil() time.Time {
	if !d.UnfitUntil.IsZero() {
		return d.UnfitUntil
	}
	if d.UnfitOrders > 1 {
		return d.Unfit.Add(UnfitAgain)
	}
	return d.Unfit.Add(UnfitOnce)
}

// KeepsUnfit tells that the order of a certificate that was refused is still kept.
func (d *Secret) KeepsUnfit(now time.Time) bool {
	return !d.Unfit.IsZero() && now.Before(d.RefusedUntil())
}
