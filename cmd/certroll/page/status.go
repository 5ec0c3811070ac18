package page

import (
	"time"

	"certroll/reconcile/ledger"
)

// StatusSchema is the version of the JSON shape of status.json.
const StatusSchema = 1

// Status is the page as data. Arrays are never null.
type Status struct {
	Schema       int              `json:"schema"`
	Time         time.Time        `json:"time"`
	Pass         *Pass            `json:"pass"`     // null: none has ended yet, or nobody knows
	Revision     *Revision        `json:"revision"` // null: not known
	Newest       *NotTaken        `json:"newest"`   // null: the newest revision is in force
	Ledger       string           `json:"ledger_commit"`
	Troubles     []string         `json:"troubles"`
	Settings     *Settings        `json:"settings"` // null: nothing is known of certroll.hcl
	Totals       map[State]int    `json:"totals"`   // of each state; the filter's own state apart
	Certificates []*Certificate   `json:"certificates"`
	Problems     []ledger.Problem `json:"problems"`
	AtWork       []Work           `json:"at_work"` // now, and not when the last pass ended
}

// Status is the page as data, with the certificates that a filter leaves.
func (p *Page) Status(f Filter) Status {
	picked, n := p.Pick(f)
	s := Status{Schema: StatusSchema, Time: p.Now.UTC().Truncate(time.Second), Pass: p.Pass, Revision: p.Revision, Newest: p.Newest, Ledger: p.Ledger,
		Troubles: p.Troubles, Settings: p.Settings, Totals: map[State]int{}, Certificates: picked, Problems: p.Problems, AtWork: p.AtWork}
	for _, state := range States {
		s.Totals[state] = n[state]
	}
	if s.Troubles == nil {
		s.Troubles = []string{}
	}
	if s.AtWork == nil {
		s.AtWork = []Work{}
	}
	if s.Problems == nil {
		s.Problems = []ledger.Problem{}
	}
	return s
}
