package attempt

import (
	"context"
	"errors"

	"certroll/reconcile/failure"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
	"certroll/spec/text"
)

// askRenewalInfo queries the renewal information of the new certificate, so that its
// first record has the renewal date. Errors are only reported: the certificate is live,
// and the threshold decides until the next query.
func (a *Attempt) askRenewalInfo(ctx context.Context) error {
	if i, err := a.RenewalInfo(ctx, a.Action.Certificate, a.Action.Issuer, a.Live); err == nil {
		a.said = i
	} else if !errors.Is(err, errors.ErrUnsupported) {
		a.Report("ask", "no renewal information from the CA, the threshold stands: "+text.FirstLine(failure.Message(err)))
	}
	return nil
}

// RenewalInfo queries the CA once, validates the answer and sets the time of the next
// query.
func (r *Means) RenewalInfo(ctx context.Context, name string, issuer *spec.Issuer, l *ledger.Live) (*ledger.RenewalInfo, error) {
	// An adopted pair has no ARI identifier, see take.
	if l.ARI == "" {
		return nil, errors.ErrUnsupported
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	start, end, explanation, again, err := r.Ca.RenewalInfo(ctx, issuer, l.ARI)
	now := r.Opts.Now()
	if errors.Is(err, errors.ErrUnsupported) {
		r.Asks.Set(issuer.Directory, now.Add(askUnsupported)) // holds for all certificates of this CA
		return nil, err
	}
	if err == nil {
		var i *ledger.RenewalInfo
		if i, err = plan.NewRenewalInfo(name, l, start, end, explanation, now); err == nil {
			r.Asks.Set(l.ARI, again)
			return i, nil
		}
	}
	// The lower bound protects a failing CA. The upper bound limits an excessive
	// Retry-After.
	r.Asks.Set(l.ARI, times.Sooner(times.Later(now.Add(AskNoAnswer), failure.RetryAt(err)), now.Add(MostAsk)))
	return nil, err
}
