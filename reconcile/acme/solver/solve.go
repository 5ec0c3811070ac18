package solver

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"

	"certroll/reconcile/acme/ca"
	"certroll/reconcile/acme/dnsprovider"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/acme/publish"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/text"
)

// solving is the work on the pending authorizations of one order.
type solving struct {
	*Job
	room   chan struct{}
	mu     sync.Mutex
	gaveUp map[*spec.DNSAccount]bool // accounts that could not publish for some name
	tokens []string                  // of all the order's dns-01 challenges
	values []string                  // TXT values of the first tokens; see ownValues
}

// StepPublished is the step in which Finish reports each DNS account that answered for a
// name of the order.
const StepPublished = "published"

// task is one authorization to validate.
type task struct {
	url   string
	authz acme.Authorization
}

func (t task) name() string   { return displayName(t.authz) }
func (t task) domain() string { return t.authz.Identifier.Value }

// challenge is the authorization's challenge of one type, with its answer.
type challenge struct {
	task
	url     string
	token   string
	keyAuth string
}

// Solve validates every pending authorization of the order. It works on all names
// concurrently and lets each finish: one attempt then shows all faults, and a valid
// authorization helps the next order.
func (j *Job) Solve(ctx context.Context, urls []string) error {
	s := &solving{Job: j, room: make(chan struct{}, j.Solver.opts.Names), gaveUp: map[*spec.DNSAccount]bool{}}
	tasks, err := s.open(ctx, urls)
	if err != nil || len(tasks) == 0 {
		return err
	}
	if len(j.Accounts) == 0 {
		return problem.Config(j.Doing, "no DNS account was given to validate "+tasks[0].name()+" with", "name one in the certificate's dns")
	}
	if slices.ContainsFunc(j.Accounts, func(a *spec.DNSAccount) bool { return a.Challenge == spec.DNS01 }) {
		// Before the first write, so that a crash leaves no unknown record.
		j.Report(StepAnswers, answersOf(tasks))
	}
	groups := byDomain(tasks)
	errs := make([]error, len(groups))
	s.each(len(groups), func(i int) { errs[i] = s.solveGroup(ctx, groups[i]) })
	return j.joined(ctx, errs)
}

// joined combines the failures of the order's names. If the run was stopped, the next one
// meets them again. If the attempt's time is over, the failures of the names that were
// decided count, and not the interruption of the others.
func (j *Job) joined(ctx context.Context, errs []error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return problem.Interrupted(ctx, j.Doing)
	}
	return problem.Join(j.Doing, errs)
}

// each runs fn for 0 to n-1 concurrently, as far as room allows.
func (s *solving) each(n int, fn func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		s.room <- struct{}{}
		wg.Go(func() {
			defer func() { <-s.room }()
			fn(i)
		})
	}
	wg.Wait()
}

// open fetches the authorizations and returns the pending ones.
func (s *solving) open(ctx context.Context, urls []string) ([]task, error) {
	authz := make([]acme.Authorization, len(urls))
	errs := make([]error, len(urls))
	s.each(len(urls), func(i int) {
		authz[i], _, errs[i] = s.Authorization(ctx, urls[i])
		if errs[i] != nil {
			return
		}
		if failure := AuthorizationFailure(s.Issuer, authz[i]); failure != nil {
			errs[i] = failure
		}
	})
	if err := s.joined(ctx, errs); err != nil {
		return nil, err
	}
	var tasks []task
	for i, a := range authz {
		if ch, ok := dnsChallenge(a); ok {
			s.tokens = append(s.tokens, ch.Token)
		}
		// A valid authorization is reused: Let's Encrypt's classic profile does so for
		// 30 days.
		if a.Status == acme.StatusPending {
			tasks = append(tasks, task{url: urls[i], authz: a})
		}
	}
	return tasks, nil
}

// byDomain groups a name with its wildcard: both answers are at the same record name.
func byDomain(tasks []task) [][]task {
	index := map[string]int{}
	var groups [][]task
	for _, t := range tasks {
		i, ok := index[t.domain()]
		if !ok {
			i = len(groups)
			index[t.domain()] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], t)
	}
	return groups
}

// solveGroup tries the accounts until one has published the group's answers.
func (s *solving) solveGroup(ctx context.Context, group []task) error {
	var failures []*problem.Error
	tried, order := map[*spec.DNSAccount]bool{}, s.inOrder(group)
	if len(order) == 0 {
		return problem.Config(s.Doing, "none of the DNS accounts of the certificate can prove "+group[0].name(),
			"add its zone to zones of one of them, or name another account in the certificate's dns")
	}
	for {
		account := s.nextOf(order, tried)
		if account == nil {
			return s.exhausted(group, failures)
		}
		tried[account] = true
		err := s.solveWith(ctx, account, group)
		if err == nil {
			s.worked(account)
			return nil
		}
		why := problem.OfAccount(account.Name, s.Doing, err)
		// Once the CA was asked, the authorization is decided: another account cannot
		// help.
		if ctx.Err() != nil || !errors.As(err, new(problem.NotPublished)) {
			return why
		}
		failures = append(failures, why)
		s.passOver(account, tried, why)
		if group, err = s.stillOpen(ctx, group); err != nil || len(group) == 0 {
			return err
		}
	}
}

// next returns the first account that the group has not tried. Accounts that another
// group gave up come last and are not left out: an account may serve only some of the
// order's zones.
func (s *solving) next(tried map[*spec.DNSAccount]bool) *spec.DNSAccount {
	return s.nextOf(s.Accounts, tried)
}

// inOrder returns the accounts that may prove a group (a name and its wildcard), in the
// order in which they are tried.
func (s *solving) inOrder(group []task) []*spec.DNSAccount {
	return slices.DeleteFunc(spec.InOrder(s.Accounts, group[0].name()), func(a *spec.DNSAccount) bool {
		return slices.ContainsFunc(group, func(t task) bool { return !a.MayProve(t.name()) })
	})
}

// nextOf returns the first untried account of a list, those that gave up last.
func (s *solving) nextOf(accounts []*spec.DNSAccount, tried map[*spec.DNSAccount]bool) *spec.DNSAccount {
	s.mu.Lock()
	defer s.mu.Unlock()
	var last *spec.DNSAccount
	for _, a := range accounts {
		switch {
		case tried[a]:
		case !s.gaveUp[a]:
			return a
		case last == nil:
			last = a
		}
	}
	return last
}

// worked records an account that published, and reports each account once.
func (s *solving) worked(account *spec.DNSAccount) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Job.Account = account.Name
	if s.published == nil {
		s.published = map[string]bool{}
	}
	if !s.published[account.Name] {
		s.published[account.Name] = true
		s.Report(StepPublished, account.Name)
	}
}

// passedOver reports whether a group has given the account up. Other groups then retry
// less.
func (s *solving) passedOver(account *spec.DNSAccount) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gaveUp[account]
}

// passOver records that a group gives the account up, and reports that once.
func (s *solving) passOver(account *spec.DNSAccount, tried map[*spec.DNSAccount]bool, why *problem.Error) {
	s.mu.Lock()
	known := s.gaveUp[account] || why.IsNotOfAccount()
	if !why.IsNotOfAccount() { // an account that does not hold this zone may hold another
		s.gaveUp[account] = true
	}
	if !known {
		s.passed = append(s.passed, why)
	}
	s.mu.Unlock()
	if next := s.next(tried); next != nil && !known {
		s.Report("dns", "going on with the DNS account "+next.Name+": "+why.Error())
	}
}

// exhausted returns the error after the last account failed. Its class is
// dns_unavailable if any account was unavailable, since a retry may then help; else the
// first failure's.
func (s *solving) exhausted(group []task, failures []*problem.Error) error {
	if len(failures) == 1 {
		return failures[0]
	}
	var said []string
	out := *failures[0]
	for _, err := range failures {
		said = append(said, err.Error())
		if out.IsNotOfAccount() && !err.IsNotOfAccount() {
			out = *err // the account that holds the zone counts, not the others
		}
		if out.OfClass != ledger.ClassDNSUnavailable && err.OfClass == ledger.ClassDNSUnavailable {
			out.OfClass, out.Cause, out.DNSAccount = ledger.ClassDNSUnavailable, err, err.DNSAccount
		}
	}
	out.Doing = "publishing the answer for " + group[0].name() + " through one of " + text.Counted(len(said), "DNS account")
	out.Said, out.Advice = strings.Join(said, " | "), ""
	return &out
}

// stillOpen drops the tasks that became valid before another account takes over.
func (s *solving) stillOpen(ctx context.Context, group []task) ([]task, error) {
	var open []task
	for _, t := range group {
		authz, _, err := s.Authorization(ctx, t.url)
		if err != nil {
			return nil, err
		}
		if failure := AuthorizationFailure(s.Issuer, authz); failure != nil {
			// One invalid authorization ends the order (RFC 8555 section 7.1.6).
			return nil, failure
		}
		if authz.Status == acme.StatusPending {
			open = append(open, task{url: t.url, authz: authz})
		}
	}
	return open, nil
}

// solveWith solves a group through one account.
func (s *solving) solveWith(ctx context.Context, account *spec.DNSAccount, group []task) error {
	challenges, err := s.challenges(account, group)
	if err != nil {
		return err
	}
	switch account.Challenge {
	case spec.HTTP01:
		return s.viaHTTP(ctx, account, challenges)
	case spec.TLSALPN01:
		return s.viaTLS(ctx, account, challenges)
	default:
		return s.viaDNS(ctx, account, challenges)
	}
}

// viaDNS answers dns-01 challenges of one domain.
func (s *solving) viaDNS(ctx context.Context, account *spec.DNSAccount, challenges []challenge) error {
	proofs := make([]dnsprovider.Proof, len(challenges))
	for i, ch := range challenges {
		proofs[i] = dnsprovider.Proof{Domain: ch.domain(), Token: ch.token, KeyAuth: ch.keyAuth}
	}
	return s.Solver.publisher.Answer(ctx, publish.Request{
		Doing: s.Doing, Order: s.Order, Name: challenges[0].name(), Account: account, Proofs: proofs, Report: s.Report,
		GaveUp: func() bool { return s.passedOver(account) }, Own: s.ownValues,
		Ask: func(from, to int) error { return s.askAll(ctx, challenges[from:to]) },
	})
}

// challenges returns each task's challenge of the account's type.
func (s *solving) challenges(account *spec.DNSAccount, group []task) ([]challenge, error) {
	out := make([]challenge, 0, len(group))
	for _, t := range group {
		ch, err := s.challenge(account, t)
		if err != nil {
			return nil, err
		}
		out = append(out, ch)
	}
	return out, nil
}

// challenge returns the task's challenge of the account's type. If the CA does not offer
// the type, another account may do.
func (s *solving) challenge(account *spec.DNSAccount, t task) (challenge, error) {
	doing := "validating " + t.name() + " through the DNS account " + account.Name
	var offered []string
	for _, ch := range t.authz.Challenges {
		offered = append(offered, ch.Type)
		if ch.Type != string(account.Challenge) {
			continue
		}
		if !ca.TokenSafe(ch.Token) {
			return challenge{}, &problem.Error{OfClass: ledger.ClassCAUnavailable, Doing: doing, Said: "the challenge's token is not base64url, as RFC 8555 section 8.3 demands"}
		}
		keyAuth, err := s.Session.KeyAuthorization(ch.Token)
		return challenge{task: t, url: ch.URL, token: ch.Token, keyAuth: keyAuth}, err
	}
	return challenge{}, problem.NotPublished{Why: problem.Config(doing, "the CA offers no "+string(account.Challenge)+" challenge for this name, only "+strings.Join(offered, ", "),
		"give the certificate a dns account of a type that the CA takes for the name")}
}

// askAll lets the CA validate the challenges concurrently.
func (s *solving) askAll(ctx context.Context, challenges []challenge) error {
	errs := make([]error, len(challenges))
	var wg sync.WaitGroup
	for i, ch := range challenges {
		wg.Go(func() { errs[i] = s.ask(ctx, ch) })
	}
	wg.Wait()
	return problem.Join(s.Doing, errs)
}

// ask requests the validation of a challenge (RFC 8555 section 7.5.1) and waits for the
// CA's decision.
func (s *solving) ask(ctx context.Context, ch challenge) error {
	doing := "validating " + ch.name() + " at " + s.Issuer.Directory
	s.Report("validate", "waiting for the CA to validate "+ch.name())
	seen, refusal := s.Session.Call(ctx, doing, func(core *api.Core) error {
		_, err := core.Challenges.New(ch.url)
		return err
	})
	if refusal != nil {
		// A lost answer and a repeated request look alike: the authorization's state
		// decides.
		if done, err := s.askedBefore(ctx, ch, refusal); done || err != nil {
			return err
		}
	}
	return s.verdict(ctx, ch, seen)
}

// verdict polls for the CA's decision. It repeats a failed poll: the CA goes on
// validating anyway. To give up would remove the answer during the validation and so end
// the order.
func (s *solving) verdict(ctx context.Context, ch challenge, seen ca.Answer) error {
	doing := "validating " + ch.name() + " at " + s.Issuer.Directory
	w := ca.NewWatch(s.Solver.opts.Now, s.Solver.opts.ValidationTimeout)
	var pollErr error
	for {
		if err := w.Wait(ctx, doing, "has not decided", seen); err != nil {
			if pollErr != nil && ctx.Err() == nil {
				return pollErr
			}
			return err
		}
		var authz acme.Authorization
		if authz, seen, pollErr = s.Authorization(ctx, ch.task.url); pollErr != nil {
			if isVerdict(pollErr, seen) || ctx.Err() != nil {
				return pollErr
			}
			s.Report("validate", "asking for the verdict on "+ch.name()+" failed, asking again: "+pollErr.Error())
			continue
		}
		if authz.Status == acme.StatusValid {
			return nil
		}
		if failure := AuthorizationFailure(s.Issuer, authz); failure != nil {
			return failure
		}
	}
}

// isVerdict reports whether further polls are useless: the authorization is gone or
// belongs to another account, or the account is dead. A firewall's page is no verdict,
// since the CA behind it goes on validating.
func isVerdict(err error, seen ca.Answer) bool {
	return problem.AsError("", err).Gone || IsLost(err, seen) || problem.IsOfAccount(err)
}

// askedBefore fetches the authorization after the request to validate failed. An earlier
// run may have sent the same request, or only the answer was lost. done is true if the
// authorization is valid. err is set if the refusal stands. Neither means that the CA is
// validating.
func (s *solving) askedBefore(ctx context.Context, ch challenge, refusal error) (done bool, err error) {
	authz, _, err := s.Authorization(ctx, ch.task.url)
	if err != nil {
		return false, refusal
	}
	if failure := AuthorizationFailure(s.Issuer, authz); failure != nil {
		return false, failure
	}
	if authz.Status == acme.StatusValid || beingValidated(authz, ch.url) {
		return authz.Status == acme.StatusValid, nil
	}
	return false, refusal
}

// beingValidated reports whether the CA is already validating the challenge (status
// processing, RFC 8555 section 7.1.6).
func beingValidated(authz acme.Authorization, url string) bool {
	for _, ch := range authz.Challenges {
		if ch.URL == url {
			return ch.Status == acme.StatusProcessing
		}
	}
	return false
}

// ownValues returns the TXT values of all the order's dns-01 challenges, including those
// of validated names: an earlier run may have left their records.
func (s *solving) ownValues() ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, token := range s.tokens[len(s.values):] {
		keyAuth, err := s.Session.KeyAuthorization(token)
		if err != nil {
			return nil, err
		}
		s.values = append(s.values, dnsprovider.Proof{KeyAuth: keyAuth}.Value())
	}
	return s.values, nil
}

// dnsChallenge returns the authorization's dns-01 challenge.
func dnsChallenge(authz acme.Authorization) (acme.Challenge, bool) {
	for _, ch := range authz.Challenges {
		if ch.Type == string(spec.DNS01) && ca.TokenSafe(ch.Token) {
			return ch, true
		}
	}
	return acme.Challenge{}, false
}

// StepAnswers is the step in which Finish reports the dns-01 challenges before it writes
// the first record: "DOMAIN TOKEN" on each line. A caller that stores these lines can
// call RemoveAnswers after a crash.
const StepAnswers = "answers"

// answersOf returns the lines of StepAnswers.
func answersOf(tasks []task) string {
	var lines []string
	for _, t := range tasks {
		if ch, ok := dnsChallenge(t.authz); ok {
			lines = append(lines, t.domain()+" "+ch.Token)
		}
	}
	return strings.Join(lines, "\n")
}
