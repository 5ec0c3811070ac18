package reconcile

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// order brings the draft to a chain: it creates the order where there is none,
// and goes on with the one there is. An order of an earlier run that the CA no
// longer takes is replaced once; one made in this attempt is not.
func (a *attempt) order(ctx context.Context) error {
	if phaseOf(a.draft) >= phaseChained {
		return nil
	}
	inherited := phaseOf(a.draft) == phaseOrdered
	err := a.orderPatiently(ctx)
	if err == nil || !isOrderGone(err) || isInterrupt(ctx, err) {
		return err
	}
	a.draft.OrderURL = ""
	if storeErr := a.drafts.store(ctx, a.action.Certificate, a.draft); storeErr != nil {
		return errors.Join(err, storeErr)
	}
	if !inherited {
		return err
	}
	a.report("order", "the CA no longer takes the earlier run's order; a new one is made with the same key")
	a.orders++ // nobody may have told of that one
	return a.orderPatiently(ctx)
}

// orderPatiently tries again within the attempt where the CA is away, which
// may pass within minutes. It never outlasts a word of the CA itself.
func (a *attempt) orderPatiently(ctx context.Context) error {
	for _, wait := range a.opts.Patience {
		err := a.orderOnce(ctx)
		if err == nil || classOf(err) != ClassCAUnavailable || isInterrupt(ctx, err) || isOrderGone(err) {
			return err
		}
		if at := retryAt(err); at.After(a.now().Add(wait)) {
			return err
		}
		a.report("order", "the CA is unavailable, trying again in "+wait.String()+": "+firstLine(message(err)))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
	return a.orderOnce(ctx)
}

func (a *attempt) orderOnce(ctx context.Context) error {
	d, issuer := a.draft, a.action.Issuer
	if d.OrderURL == "" {
		if err := a.newOrder(ctx); err != nil {
			return err
		}
	} else {
		a.report("order", "going on with the order "+d.OrderURL)
	}
	a.orderURL = d.OrderURL
	csr, err := newCSR(d.Key, d.Names)
	if err != nil {
		return err
	}
	chain, account, passed, err := a.ca.Finish(ctx, issuer, d.OrderURL, csr, a.accounts(), a.report)
	for _, p := range passed {
		a.passedOver = append(a.passedOver, PassedOver{Account: accountOf(p), Class: classOf(p), Message: message(p)})
	}
	if err != nil {
		return err
	}
	d.Chain, d.Account = string(chain), account
	return nil
}

// newOrder makes an order and keeps its URL before anything else is done.
func (a *attempt) newOrder(ctx context.Context) error {
	d, issuer := a.draft, a.action.Issuer
	a.report("order", "ordering "+strings.Join(d.Names, " ")+" from "+issuer.Name)
	url, replaced, err := a.ca.Order(ctx, issuer, d.Names, a.action.Replaces)
	if err != nil {
		return err
	}
	a.orders++
	d.OrderURL, d.Exempt = url, a.action.Exempt
	if d.Exempt == ExemptARI && !replaced {
		d.Exempt = ExemptRenewal
	}
	return a.drafts.store(context.WithoutCancel(ctx), a.action.Certificate, d)
}

// newCSR makes a PKCS #10 request with the names as subject alternative names
// and no subject, which is all that an ACME CA looks at.
func newCSR(key crypto.Signer, names []string) ([]byte, error) {
	req := &x509.CertificateRequest{}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			req.IPAddresses = append(req.IPAddresses, ip)
		} else {
			req.DNSNames = append(req.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, req, key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate request: %w", err)
	}
	return der, nil
}
