package reconcile

import (
	"context"
	"time"

	"certroll/spec"
)

// withFacts is l with what the record alone knows of its chain: metadata that an
// earlier version wrote has nothing of it, and none holds the key of a large issuer.
func (l *Live) withFacts(recorded *Live) *Live {
	if recorded == nil || recorded.Serial != l.Serial || !recorded.knowsChain() || l.knowsChain() && l.IssuerKey != "" {
		return l
	}
	c := *l
	c.CRL, c.IssuerKey, c.Adopted, c.ChainRead = recorded.CRL, recorded.IssuerKey, recorded.Adopted, recorded.ChainRead
	c.ChainNotAfter, c.ChainKept = recorded.ChainNotAfter, recorded.ChainKept
	return &c
}

// knowsChain tells that it was noted what the chain says.
func (l *Live) knowsChain() bool { return l.ChainRead }

// backfill reads the secrets of certificates that an earlier version issued, once
// each, for what it did not note of their chains.
func (r *Reconciler) backfill(ctx context.Context, desired *spec.Spec, obs *Observed) error {
	read := 0
	for _, c := range desired.Certificates {
		record, l := watchedLive(c, obs)
		if l == nil || l.knowsChain() || obs.Secrets[Location{l.Mount, l.Path}].Behind() || r.chainsRead[l.Serial] {
			continue
		}
		if read++; read > backfillAtOnce || ctx.Err() != nil {
			return nil //nolint:nilerr // the rest has its turn with the next pass
		}
		if !r.crew.ask(c.Name, obs.turn) {
			continue // what an attempt makes of it has its chain noted
		}
		err := r.backfillOne(ctx, c, record, l, obs)
		r.crew.answered(c.Name, err == nil && obs.Records[c.Name] != record)
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Reconciler) backfillOne(ctx context.Context, c *spec.Certificate, record *Record, l *Live, obs *Observed) error {
	r.chainsRead[l.Serial] = true
	data, version, err := r.secrets.Read(ctx, l.Mount, l.Path)
	if err != nil {
		return nil //nolint:nilerr // what cannot be read now is read with the next start
	}
	p, err := findIn(data)
	if err != nil || version != l.Version || serialOf(p.leaf()) != l.Serial {
		return nil //nolint:nilerr // keystores alone, or somebody wrote it meanwhile
	}
	live := *keepNames(l, record.Live)
	live.setChain(p.chain, nil)
	live.Adopted = l.ARI == "" // what is taken over has none
	at := r.opts.Now()
	next := *record
	next.Live, next.UpdatedAt = &live, record.next(at)
	next.RenewAt = recordedRenewal(c, &live, next.RenewalInfo, at)
	e := Event{
		Schema: EventSchema, ID: eventID("chain read", c.Name, l.Serial), Time: at.UTC().Truncate(time.Millisecond), Operation: KindNote, Certificate: c.Name,
		Status: Success, Reason: ReasonChainRead, Detail: "an earlier version of certroll issued it: its chain was read, which ends " + live.End().UTC().Format(time.RFC3339),
		Actor: "schedule", Cause: "schedule", OldSerial: l.Serial, NewSerial: l.Serial, Issuer: l.Issuer, VaultPath: l.Mount + "/" + l.Path, VaultVer: l.Version,
	}
	if err := r.scribe.note(entry{Event: e, Record: &next}); err != nil {
		return err
	}
	obs.Records[c.Name] = &next
	return nil
}
