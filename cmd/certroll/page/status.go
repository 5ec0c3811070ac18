package page

import (
	"time"

	"certroll/reconcile/ledger"
)

// StatusSchema is the version of status.json.
const StatusSchema = 1

// Status is the page as data. Arrays are never null.
type Status struct {
	Schema       int                  `json:"schema"`
	Time         time.Time            `json:"time"`
	Pass         *Pass                `json:"pass"`     // null: none has ended yet, or unknown
	Revision     *Revision            `json:"revision"` // null: unknown
	Newest       *NotTaken            `json:"newest"`   // null: the newest revision is in force
	Ledger       string               `json:"ledger_commit"`
	Faults       []string             `json:"troubles"`
	Settings     *Settings            `json:"settings"` // null: certroll.hcl is unknown
	Totals       map[ledger.State]int `json:"totals"`   // by state, without the filter's own state
	Certificates []*Certificate       `json:"certificates"`
	Problems     []ledger.Problem     `json:"problems"`
	AtWork       []Work               `json:"at_work"` // at present, not at the end of the last pass
}

// Status returns the page as data, with the filter's certificates.
func (p *Page) Status(f Filter) Status {
	picked, n := p.Pick(f)
	s := Status{Schema: StatusSchema, Time: p.Now.UTC().Truncate(time.Second), Pass: p.Pass, Revision: p.Revision, Newest: p.Newest, Ledger: p.Ledger,
		Faults: p.Faults, Settings: p.Settings, Totals: map[ledger.State]int{}, Certificates: picked, Problems: p.Problems, AtWork: p.AtWork}
	for _, state := range ledger.States {
		s.Totals[state] = n[state]
	}
	if s.Faults == nil {
		s.Faults = []string{}
	}
	if s.AtWork == nil {
		s.AtWork = []Work{}
	}
	if s.Problems == nil {
		s.Problems = []ledger.Problem{}
	}
	return s
}
