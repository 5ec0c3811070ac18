package observe

import (
	"context"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/plan"
)

// nextFolder is below the pending secrets, so that whoever may look at the
// metadata of those may look at these.
const nextFolder = "next"

// NextPath is where a certificate's staged key is.
func NextPath(prefix, name string) string { return prefix + "/pending/" + nextFolder + "/" + name }

// kept lists the certificates that have a pending secret, and those that have a
// staged key: one call where no key is staged, two where there are some.
func (o *Observer) kept(ctx context.Context) (pending, staged []string, err error) {
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
