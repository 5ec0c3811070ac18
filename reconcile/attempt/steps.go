package attempt

import "context"

// step is one step of an attempt. Its name is reported as progress.
type step struct {
	name string
	run  func(*Attempt, context.Context) error
}

// An attempt that orders a certificate runs firstSteps, orderSteps in its turn, and
// resumeSteps.
var (
	firstSteps = []step{
		{"account", (*Attempt).checkAccount},
		{"prepare", (*Attempt).prepare},
	}
	orderSteps = []step{
		{"order", (*Attempt).order},
	}
)

// resumeSteps are those that follow the order. They also finish the write that an earlier
// run had begun, with that run's settings. Their order matters: the kept leaf precedes the
// write that may push the old version out of Vault's history, the metadata follows the
// secret, and the old secret and certificate go only after that.
var resumeSteps = []step{
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

// runSteps runs the steps in order. The check before each step also stops an attempt
// whose lease has expired.
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
