package attempt

import (
	"context"
)

type step struct {
	name string
	run  func(*Attempt, context.Context) error
}

// The steps of an attempt that asks the CA for a certificate.
var orderSteps = []step{
	{"account", (*Attempt).checkAccount},
	{"prepare", (*Attempt).prepare},
	{"order", (*Attempt).order},
	{"verify", (*Attempt).verify},
	{"keep", (*Attempt).keepReplaced},
	{"write", (*Attempt).write},
	{"stage", (*Attempt).stageDrafted},
	{"describe", (*Attempt).describe},
	{"previous", (*Attempt).tidyPrevious},
	{"revoke", (*Attempt).revokeReplaced},
	{"ask", (*Attempt).askRenewalInfo},
	{"sweep", (*Attempt).sweepInherited},
}

func (a *Attempt) runSteps(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		a.Colleagues.Stepped(a.Action.Certificate, s.name, "")
		if err := s.run(a, ctx); err != nil {
			return err
		}
	}
	return nil
}
