package edits

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/settings"
	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/edit"
	"certroll/spec/text"
)

// farFromDue is the time before the due date from which a rotation needs --force.
const farFromDue = 7 * 24 * time.Hour

// RotateCommand requests a new certificate with a new key.
func (a *Commands) RotateCommand() *cobra.Command {
	var r rotation
	c := &cobra.Command{
		Use:   "rotate NAME... --reason TEXT",
		Short: "Request a new certificate with a new key, in the config repo",
		Long: `Request a rotation by writing a new rotate text into each certificate block. The
next apply orders a new certificate with a fresh key; with --revoke it revokes the
old one once the new one is live. A certificate that is not due within 7 days needs
--force: without it, rotate prints what the rotation costs and changes nothing.` + ofForEach + howEdited,
		Args: cobra.MinimumNArgs(1),
	}
	f := a.editFlags(c)
	c.Flags().BoolVar(&r.revoke, "revoke", false, "revoke the replaced certificate")
	c.Flags().StringVar(&r.code, "code", "", "RFC 5280 reason of the revocation: keyCompromise, superseded (the default), affiliationChanged, cessationOfOperation, unspecified")
	c.Flags().BoolVar(&r.force, "force", false, "rotate even if the certificate is not due within 7 days")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		r.names, r.reason = slices.Compact(slices.Sorted(slices.Values(args))), f.reason
		return a.rotate(cmd.Context(), f, r)
	}
	return c
}

// rotation is the request of one command.
type rotation struct {
	names         []string
	reason, code  string
	revoke, force bool
	records       map[string]*ledger.Record
	now           time.Time
}

func (a *Commands) rotate(ctx context.Context, f *editFlags, r rotation) error {
	if err := a.checkEdit(f); err != nil {
		return err
	}
	if r.code != "" && !r.revoke {
		return errors.New("--code is the reason of a revocation: give --revoke with it")
	}
	s, err := a.LoadSettings()
	if err != nil {
		return err
	}
	r.reason, r.now = f.reason, time.Now().UTC()
	if r.records, err = a.records(ctx, s); err != nil && !r.force {
		return err
	}
	if err != nil {
		fmt.Fprintf(a.Err, "Could not check the live certificates: %s\n", err)
		// Without a ledger, earlier texts are unknown, and a reused one forces nothing:
		// make the text unique.
		r.reason = r.now.Format(time.RFC3339) + " " + r.reason
	}
	return a.revise(ctx, s, f, change{"rotate", r.names, r.edit})
}

// records reads the ledger; nil if none is configured.
func (a *Commands) records(ctx context.Context, s *settings.Settings) (map[string]*ledger.Record, error) {
	if s.Ledger.URL == "" {
		fmt.Fprintln(a.Err, "No ledger is configured (ledger.url in certroll.hcl): certroll cannot check expiry, nor whether this reason was used before (a reused reason triggers no rotation).")
		return nil, nil
	}
	tree, err := s.LedgerTree(ctx)
	if err != nil {
		return nil, err
	}
	return archive.ReadRecords(tree)
}

func (r rotation) edit(e *edit.Editor) error {
	var early []*spec.Certificate
	for _, name := range r.names {
		c, err := e.Certificate(name)
		if err != nil {
			return err
		}
		if r.far(name) {
			early = append(early, c)
		}
		if err := e.Rotate(name, edit.Rotating{Reason: r.unseen(c), Revoke: r.revoke, Code: r.code}); err != nil {
			return err
		}
	}
	if len(early) > 0 && !r.force {
		return errors.New(r.costs(e.Spec(), early))
	}
	return nil
}

// live returns the ledger's live certificate; nil if there is none.
func (r rotation) live(name string) *ledger.Live {
	if record := r.records[name]; record != nil {
		return record.Live
	}
	return nil
}

// far reports whether a certificate is neither due nor expiring soon.
func (r rotation) far(name string) bool {
	l := r.live(name)
	if l == nil {
		return false
	}
	due := l.End()
	if at := r.records[name].RenewAt; at != nil {
		due = *at
	}
	return due.Sub(r.now) > farFromDue
}

// unseen returns the reason as a text that the certificate's rotate never had, since
// only a new text forces a rotation.
func (r rotation) unseen(c *spec.Certificate) string {
	text := r.reason
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if text != c.Rotate && !r.records[c.Name].Rotated(text) {
			break
		}
		text = r.now.Format(layout) + " " + r.reason
	}
	return text
}

// costs describes the consequences of an early rotation.
func (r rotation) costs(desired *spec.Spec, early []*spec.Certificate) string {
	var b strings.Builder
	var issuers []string
	for _, c := range early {
		fmt.Fprintf(&b, "%s is far from expiry: %s. Programs that read %s/%s will get another certificate and key.\n",
			c.Name, r.when(c.Name), c.Vault.Mount, c.Vault.Path)
		if text := limitsText(desired.Issuers[c.Issuer]); !slices.Contains(issuers, text) {
			issuers = append(issuers, text)
		}
	}
	fmt.Fprintf(&b, "A rotation is a new order, which counts against the CA's limits: %s. If they are used up, due renewals have to wait.\n", strings.Join(issuers, "; "))
	if r.revoke {
		b.WriteString("With --revoke certroll revokes the live certificate as soon as the new one is in Vault: a server that has not loaded the new one by then serves a revoked certificate.\n")
	}
	b.WriteString("To rotate anyway, add --force. Nothing was changed.")
	return b.String()
}

func (r rotation) when(name string) string {
	expires := "it expires " + r.live(name).End().UTC().Format(time.DateOnly)
	at := r.records[name].RenewAt
	if at == nil {
		return expires + ", and its renewal is off"
	}
	return fmt.Sprintf("%s, and certroll renews it %s, in %d days", expires, at.UTC().Format(time.DateOnly), int(at.Sub(r.now).Hours()/24))
}

// limitsText describes the known limits of an issuer on orders.
func limitsText(i *spec.Issuer) string {
	if i.Limits == nil {
		return "issuer." + i.Name + " states none, but its CA may have some"
	}
	var parts []string
	for _, l := range []struct {
		what  string
		limit spec.Limit
	}{
		{"certificates of exactly the same names", i.Limits.ExactSet},
		{"certificates of a registered domain", i.Limits.PerDomain},
		{"orders of the account", i.Limits.Orders},
	} {
		if l.limit.Burst > 0 {
			parts = append(parts, fmt.Sprintf("%d %s per %s", l.limit.Burst, l.what, periodText(l.limit.Window)))
		}
	}
	if len(parts) == 0 {
		return "issuer." + i.Name + " has none on orders"
	}
	return "issuer." + i.Name + " takes " + strings.Join(parts, ", ")
}

func periodText(d time.Duration) string {
	if day := 24 * time.Hour; d%day == 0 {
		return text.Counted(int(d/day), "day")
	}
	if d%time.Hour == 0 {
		return text.Counted(int(d/time.Hour), "hour")
	}
	return d.String()
}
