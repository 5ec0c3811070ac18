package observe

import (
	"context"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/plan"
)

// nextFolder is below the pending secrets, so that a Vault policy for the metadata of those
// covers the staged keys too.
const nextFolder = "next"

// NextPath returns the path of a certificate's staged key.
func NextPath(prefix, name string) string { return prefix + "/pending/" + nextFolder + "/" + name }

// ownSecrets lists the certificates with a pending secret and those with a staged key. It takes
// one Vault request, or two if any key is staged.
func (o *Observer) ownSecrets(ctx context.Context) (pending, staged []string, err error) {
	at := o.StatePrefix + "/pending"
	if pending, err = o.Metadata.List(ctx, o.StateMount, at); err != nil {
		return nil, nil, err
	}
	if slices.Contains(pending, nextFolder+"/") {
		staged, err = o.Metadata.List(ctx, o.StateMount, at+"/"+nextFolder)
	}
	return slices.DeleteFunc(pending, func(name string) bool { return strings.HasSuffix(name, "/") }), staged, err
}

func (o *Observer) staged(ctx context.Context, name string) (plan.Staged, bool, error) {
	current, live, custom, err := o.Metadata.ReadMetadata(ctx, o.StateMount, NextPath(o.StatePrefix, name))
	if err != nil || current == 0 || !live {
		return plan.Staged{}, false, err
	}
	since, _ := time.Parse(time.RFC3339, custom[MetaStarted])
	return plan.Staged{KeyDigest: custom[MetaKey], KeyShape: custom[MetaShape], Ours: o.ours(custom), Since: since}, true, nil
}
