package ask

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"certroll/cmd/certroll/page"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/view"
	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

const (
	// askTimeout bounds certroll run's answer, which needs no computation.
	askTimeout = 3 * time.Second
	// maxAnswer bounds the answer, in bytes: 100,000 certificates have about 60 MB.
	maxAnswer = 128 << 20
)

// askRun fetches the state of certroll run if certroll.hcl lets it serve; nil if not. A
// failed request is only reported.
func askRun(ctx context.Context, s *settings.Settings) (*view.Service, *page.Status) {
	address := s.ListenAddress()
	if address == "" {
		return nil, nil
	}
	answer, err := statusOfRun(ctx, s, address)
	if err != nil {
		none := serviceOf(address, &page.Status{})
		none.Error = err.Error()
		return none, nil
	}
	return serviceOf(address, answer), answer
}

// statusOfRun fetches /status.json.
func statusOfRun(ctx context.Context, s *settings.Settings, address string) (*page.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+reachable(address)+"/status.json", nil)
	if err != nil {
		return nil, err
	}
	if s.HasToken() {
		token, err := s.ListenToken()
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true}, // no proxy: the address is on this machine
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("it answered with a redirect") },
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, bareNetError(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answered %s", text.Line(resp.Status))
	}
	var answer page.Status
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&answer); err != nil {
		return nil, errors.New("its answer is not that of certroll run")
	}
	if answer.Schema != page.StatusSchema {
		return nil, fmt.Errorf("its answer has schema %d, and this certroll knows %d", answer.Schema, page.StatusSchema)
	}
	return &answer, nil
}

// reachable turns a listen address into one to connect to.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// bareNetError drops the request from an error of net/http.
func bareNetError(err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %s", askTimeout)
	case errors.As(err, &op):
		return op.Err
	default:
		return err
	}
}

func serviceOf(address string, answer *page.Status) *view.Service {
	s := &view.Service{Address: address, Faults: []string{}, Settings: []string{}, AtWork: []view.ServiceWork{}, Missing: []string{}, Certificates: []view.ServiceCertificate{}}
	if p := answer.Pass; p != nil {
		s.LastPass, s.NextPass, s.PassError = &p.Ended, &p.Next, p.Error
	}
	s.Faults = append(s.Faults, answer.Faults...)
	if answer.Settings != nil {
		s.Settings = append(s.Settings, answer.Settings.Notes...)
	}
	if n := answer.Newest; n != nil {
		s.Revision = fmt.Sprintf("the newest revision %.12s is not in force: %s", n.Commit, n.Message)
	}
	for _, w := range answer.AtWork {
		s.AtWork = append(s.AtWork, view.ServiceWork{Certificate: w.Certificate, Operation: string(w.Operation), Since: w.Since, At: w.At()})
	}
	for _, c := range answer.Certificates {
		if c != nil && c.State == ledger.StateMissing {
			s.Missing = append(s.Missing, c.Name)
		}
	}
	return s
}

// statusFromRun returns the status in certroll run's answer, for use while the ledger
// cannot be read.
func statusFromRun(service *view.Service, answer *page.Status, tree error) view.Status {
	dto := view.NewStatus(nil, time.Now())
	dto.Service, dto.LedgerError = service, tree.Error()
	n := answer.Totals
	dto.Revoked, dto.Deleted, dto.Overdue = n[ledger.StateRevoked], n[ledger.StateDeleted], n[ledger.StateOverdue]
	dto.Retired, dto.Unmanaged, dto.Paging = n[ledger.StateRetired], n[ledger.StateUnmanaged], n[ledger.StatePaging]
	// The view has no numbers of these two, and they need attention.
	dto.Failing = dto.Paging + n[ledger.StateFailing] + n[ledger.StateExpired] + n[ledger.StateNotServed]
	for _, c := range answer.Certificates {
		if c == nil {
			continue
		}
		one := view.ServiceCertificate{Certificate: c.Name, State: c.State.Word(), NotAfter: c.NotAfter, Class: string(c.Class), Message: c.Message, Cause: cmp.Or(c.Cause, ledger.Cause(c.Message))}
		if c.Plan != nil {
			one.Until = c.Plan.Until
		}
		service.Certificates = append(service.Certificates, one)
	}
	return dto
}
