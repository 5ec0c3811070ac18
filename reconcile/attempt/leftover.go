package attempt

import (
	"context"
)

// tellWritten says of a leftover what stays: the run may have written its pair.
func (a *Attempt) tellWritten(ctx context.Context) {
	d, err := a.PendingSecrets.Load(ctx, a.Action.Certificate)
	if err == nil && d != nil && d.DataDigest != "" {
		a.Action.Detail += "; that run wrote " + d.At.String() + " or was about to: certroll leaves that secret in place and does not renew it"
	}
}
