package attempt

import (
	"context"
)

// tellWritten adds to the detail that an earlier run may have written the secret, which
// therefore stays.
func (a *Attempt) tellWritten(ctx context.Context) {
	d, err := a.PendingSecrets.Load(ctx, a.Action.Certificate)
	if err == nil && d != nil && d.DataDigest != "" {
		a.Action.Detail += "; that run wrote " + d.At.String() + " or was about to: certroll leaves that secret in place and does not renew it"
	}
}
