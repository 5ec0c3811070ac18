package attempt_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
	"certroll/spec"
	"certroll/spec/decode"
)

// renamed returns the certificate under another name, with a moved block and without
// vault.path.
func renamed(c *spec.Certificate, name string) *spec.Certificate {
	next := *c
	next.Name, next.MovedFrom = name, append([]string{c.Name}, c.MovedFrom...)
	return &next
}

// TestRenamedByAMovedBlock checks that a renamed certificate keeps its secret, record,
// history and requests. certroll orders, deletes and revokes nothing, and the event
// names the commit's author.
func TestRenamedByAMovedBlock(t *testing.T) {
	was := reconciletest.Certificate("api", "api.example.com")
	was.Rotate, was.OnRemove = "first", spec.Revoke
	w := reconciletest.NewWorld(t, was)
	w.Settle()
	before, serial := w.Ledger.Record(t, "api"), keypair.SerialOf(w.SecretPair("tls/api").Leaf())
	w.At = w.At.Add(time.Hour)
	w.Desired = reconciletest.Desire(renamed(was, "web"))
	for _, a := range w.Plan() {
		if a.Reason != ledger.ReasonRenamed || !strings.Contains(a.Detail, "moved from api") && !strings.Contains(a.Detail, "moved to web") {
			t.Errorf("%s: %s %s, %s", a.Certificate, a.Kind, a.Reason, a.Detail)
		}
	}
	if got := w.Kinds(); got != "retire adopt" {
		t.Fatalf("the plan is %s", got)
	}
	w.Settle()
	if got := w.Kinds(); got != "none" || len(w.Ca.Orders) != 1 || len(w.Ca.Revoked) != 0 || keypair.SerialOf(w.SecretPair("tls/api").Leaf()) != serial {
		t.Errorf("then the plan is %s; %d orders, revoked %v", got, len(w.Ca.Orders), w.Ca.Revoked)
	}
	r := w.Ledger.Record(t, "web")
	if r.State != ledger.StateLive || *pairFacts(r.Live) != *pairFacts(before.Live) || !r.HadName("api") || r.RenewAt == nil || !r.Rotated("first") {
		t.Errorf("the record is %+v, live %+v", r, r.Live)
	}
	if r := w.Ledger.Record(t, "api"); r.State != ledger.StateRetired {
		t.Errorf("the record of before is %+v", r)
	}
	w.ExpectEvents(t, "web", "issue/missing adopt/renamed")
	for _, e := range w.Ledger.Events(t)[1:] {
		if e.Actor != reconciletest.TheOwner || e.Cause != "spec" || e.Status != ledger.Success {
			t.Errorf("event: %+v", e)
		}
	}
	// Once the path is written out, the moved block is no longer needed.
	w.Desired.Certificates[0].MovedFrom = nil
	if got := w.Kinds(); got != "none" {
		t.Errorf("without the moved block: %s", got)
	}
	// A new certificate under the old name has its own history.
	w.At = w.At.Add(time.Hour)
	other := reconciletest.Certificate("api", "other.example.com")
	other.Vault.Path = "tls/other"
	w.Desired.Certificates = append([]*spec.Certificate{other}, w.Desired.Certificates...)
	w.Settle()
	w.ExpectEvents(t, "web", "issue/missing adopt/renamed")
}

// TestMovedKeepsTheStagedKey checks that the published next key keeps its publication
// time under the new name, in either order of the two actions. The next renewal uses
// it. A file in another directory with another path does not get the key.
func TestMovedKeepsTheStagedKey(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*spec.Certificate)
		first  ledger.Kind // runs alone before the others; "": none
		keeps  bool
	}{
		"at once":           {keeps: true},
		"the old one first": {first: ledger.KindRetire, keeps: true},
		"the new one first": {first: ledger.KindAdopt, keeps: true},
		"another path":      {change: func(c *spec.Certificate) { c.Vault.Path = "tls/web" }, keeps: true},
		"another directory": {change: func(c *spec.Certificate) { c.Vault.Path, c.File = "tls/web", "other/certs.hcl" }},
		"another shape":     {change: func(c *spec.Certificate) { c.Key.Algorithm = spec.RSA }},
		"key.next is off":   {change: func(c *spec.Certificate) { c.Key.Next = false }},
	} {
		t.Run(name, func(t *testing.T) {
			was := reconciletest.Certificate("api", "api.example.com")
			was.Key.Next = true
			w := reconciletest.NewWorld(t, was)
			w.Settle()
			staged := w.Staged()
			w.At = w.At.Add(2 * times.Day)
			next := renamed(was, "web")
			if tc.change != nil {
				tc.change(next)
			}
			w.Desired = reconciletest.Desire(next)
			if r, planned := w.Planned(); tc.first != "" {
				planned.Actions = slices.DeleteFunc(planned.Actions, func(a plan.Action) bool { return a.Kind != tc.first })
				if _, err := r.Apply(t.Context(), w.Desired, ledger.Revision{Commit: "c0ffee"}, planned); err != nil || len(planned.Actions) != 1 {
					t.Fatal(planned.Actions, err)
				}
			}
			// The retired name's staged key is no leftover while the move has to carry it.
			for _, a := range w.Plan() {
				if tc.first == ledger.KindRetire && a.Certificate == "api" {
					t.Errorf("before the move: %s %s: %s", a.Kind, a.Certificate, a.Detail)
				}
			}
			for range 3 {
				w.Settle()
				w.At = w.At.Add(time.Hour)
			}
			n, err := w.Reconciler().Next.Load(t.Context(), "web")
			if err != nil {
				t.Fatal(err)
			}
			if w.Staged() != nil {
				t.Error("a key is staged under the old name")
			}
			switch kept := n != nil && n.Digest == staged.Digest; {
			case kept != tc.keeps:
				t.Fatalf("staged %+v, before %+v: want the same %v", n, staged, tc.keeps)
			case !kept:
				return
			case !n.Since.Equal(staged.Since) || w.Ledger.Record(t, "web").Live.NextKeyDigest != staged.Digest:
				t.Errorf("staged since %s, before since %s; the record has %s", n.Since, staged.Since, w.Ledger.Record(t, "web").Live.NextKeyDigest)
			}
			w.At = reconciletest.Start.Add(61 * times.Day)
			w.Settle()
			if l := w.Ledger.Record(t, "web").Live; l.KeyDigest != staged.Digest {
				t.Errorf("renewed with the key %s, published was %s", l.KeyDigest, staged.Digest)
			}
		})
	}
}

// pairFacts returns the facts about the live pair that a move must not change.
func pairFacts(l *ledger.Live) *struct{ serial, key, issued, since, aki string } {
	return &struct{ serial, key, issued, since, aki string }{l.Serial, l.KeyDigest, l.IssuedAt.String(), l.KeySince.String(), l.IssuerKey}
}

// TestRenamedAndMore checks that changes that come with a rename are applied after it,
// as if the name were unchanged.
func TestRenamedAndMore(t *testing.T) {
	off := func(c *spec.Certificate) { c.Renewal.Auto, c.Renewal.Reason = false, "it moves" }
	same := func(*spec.Certificate) {}
	tests := map[string]struct {
		before, after func(*spec.Certificate)
		disturb       func(*reconciletest.World)
		plans         []string // in sequence, each applied
	}{
		"new names":         {same, func(c *spec.Certificate) { c.Domains = append(c.Domains, spec.Domain{ASCII: "www.example.com"}) }, nil, []string{"retire adopt", "reissue"}},
		"a rotation":        {func(c *spec.Certificate) { c.Rotate = "old" }, func(c *spec.Certificate) { c.Rotate = "new" }, nil, []string{"retire adopt", "rotate"}},
		"the same rotation": {func(c *spec.Certificate) { c.Rotate = "old" }, same, nil, []string{"retire adopt"}},
		"it is off":         {off, same, nil, []string{"retire adopt"}},
		"it is turned off":  {same, off, nil, []string{"retire adopt", "note"}},
		"another path":      {same, func(c *spec.Certificate) { c.Vault.Path = "tls/elsewhere" }, nil, []string{"retire adopt"}},
		"the next key":      {func(c *spec.Certificate) { c.Key.Next = true }, same, nil, []string{"retire adopt"}},
		"overwritten": {same, same, func(w *reconciletest.World) {
			data, version, _ := w.Vault.Read(context.Background(), "secret", "tls/api")
			data["private_key"] = "no key"
			w.Overwrite(data, version)
		}, []string{"retire adopt", "repair"}},
		"deleted":   {same, same, func(w *reconciletest.World) { _ = w.Vault.Delete(context.Background(), "secret", "tls/api") }, []string{"hold issue", "retire none"}},
		"destroyed": {same, same, func(w *reconciletest.World) { delete(w.Vault.Secrets, "secret/tls/api") }, []string{"hold issue", "retire none"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			was := reconciletest.Certificate("api", "api.example.com")
			was.OnRemove = spec.Delete
			tc.before(was)
			other := reconciletest.Certificate("other", "other.example.com") // a second certificate, so that the change does not affect all
			w := reconciletest.NewWorld(t, was, other)
			w.Settle()
			w.At = w.At.Add(time.Hour)
			if tc.disturb != nil {
				tc.disturb(w)
			}
			next := renamed(was, "web")
			next.Domains = append([]spec.Domain(nil), was.Domains...)
			tc.after(next)
			w.Desired = reconciletest.Desire(other, next)
			for _, want := range tc.plans {
				if got := strings.TrimSpace(strings.Replace(" "+w.Kinds()+" ", " none ", " ", 2)); got != want {
					t.Fatalf("the plan is %s, want %s", got, want)
				}
				w.Settle()
				w.At = w.At.Add(time.Minute)
			}
			if got := w.Kinds(); got != "none none" {
				t.Errorf("then the plan is %s", got)
			}
			if r := w.Ledger.Record(t, "web"); r.State != ledger.StateLive || !r.HadName("api") {
				t.Errorf("the record is %+v", r)
			}
		})
	}
}

// TestRenamedWhileItFails checks that a never issued certificate keeps its failure
// count and back-off when it is renamed, in later passes too.
func TestRenamedWhileItFails(t *testing.T) {
	was := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, was)
	w.Ca.Fail = func(string, int) error { return errors.New("the CA is away") }
	if _, err := w.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	hold := w.Ledger.Record(t, "api").Hold
	w.Desired = reconciletest.Desire(renamed(was, "web"))
	for range 3 {
		w.HeldUntil(t, "web", hold.Until)
		w.Settle()
		w.At = w.At.Add(time.Second)
	}
	w.At = hold.Until
	if got := w.Kinds(); got != "hold issue" {
		t.Fatalf("after the wait the plan is %s", got)
	}
	if _, err := w.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := w.Ledger.Record(t, "web")
	if r.Failures != 2 || !r.HadName("api") {
		t.Errorf("the record is %+v", r)
	}
	if got := w.Kinds(); got != "retire hold" {
		t.Errorf("then the plan is %s", got)
	}
	w.Settle()
	w.HeldUntil(t, "web", r.Hold.Until)
	w.Ca.Fail, w.At = nil, r.Hold.Until
	w.Settle()
	if got := w.Kinds(); got != "none" || w.Ledger.Record(t, "web").Failures != 0 || w.Ledger.Record(t, "api").State != ledger.StateRetired {
		t.Errorf("in the end the plan is %s", got)
	}
}

// failingRenewal returns a world where the renewal of api has failed and api is now
// named web.
func failingRenewal(t *testing.T) (*reconciletest.World, *ledger.Hold) {
	t.Helper()
	was := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, was)
	w.Settle()
	w.At = w.At.Add(62 * times.Day)
	w.Ca.Fail = func(string, int) error { return errors.New("the CA is away") }
	if _, err := w.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Desired = reconciletest.Desire(renamed(was, "web"))
	return w, w.Ledger.Record(t, "api").Hold
}

// TestRenamedWhileARenewalFails checks that neither name reports a recovery and that
// the hold stays, also if the secret is lost before the move or the move fails.
func TestRenamedWhileARenewalFails(t *testing.T) {
	w, hold := failingRenewal(t)
	if got := w.Kinds(); got != "hold adopt" {
		t.Errorf("the plan is %s", got)
	}
	w.Settle()
	w.Settle()
	for _, e := range w.Ledger.Events(t) {
		if e.Recovered != 0 {
			t.Errorf("event: %+v", e)
		}
	}
	if r := w.Ledger.Record(t, "web"); r.State != ledger.StateFailing || r.Failures != 1 || r.Hold == nil || !r.Hold.Until.Equal(hold.Until) {
		t.Errorf("the record is %+v, hold %+v", r, r.Hold)
	}
	if got := w.Kinds(); got != "hold" {
		t.Errorf("the plan is %s", got)
	}
	t.Run("destroyed", func(t *testing.T) {
		w, hold := failingRenewal(t)
		delete(w.Vault.Secrets, "secret/tls/api")
		for range 3 {
			w.HeldUntil(t, "web", hold.Until)
			w.Settle()
			w.At = w.At.Add(time.Second)
		}
	})
	t.Run("the move fails", func(t *testing.T) {
		w, hold := failingRenewal(t)
		w.FailToMove(t, true)
		r := w.Ledger.Record(t, "web")
		if r.Failures != 1 || r.LastFailure.Operation != ledger.KindAdopt {
			t.Fatalf("the record is %+v", r)
		}
		w.At = r.Hold.Until
		w.Settle()
		if r := w.Ledger.Record(t, "web"); r.State != ledger.StateFailing || r.Failures != 1 || !plan.FailsToOrder(r) || !r.Hold.Until.Equal(hold.Until) {
			t.Errorf("the record is %+v, hold %+v", r, r.Hold)
		}
	})
}

// TestRenameThatFailsOnce checks that a failed rename waits and is retried as a rename,
// despite other changes: certroll orders, revokes and deletes nothing for it.
func TestRenameThatFailsOnce(t *testing.T) {
	tests := map[string]struct {
		change func(*spec.Certificate)
		after  func(*reconciletest.World) // after the failure
		then   string                     // planned after the move
	}{
		"as it was":    {then: "none none"},
		"another path": {change: func(c *spec.Certificate) { c.Vault.Path = "tls/web" }, then: "none none"},
		"new names":    {change: func(c *spec.Certificate) { c.Domains = append(c.Domains, spec.Domain{ASCII: "www.example.com"}) }, then: "none reissue"},
		"the answer was lost": {after: func(w *reconciletest.World) {
			s := w.Vault.Secrets["secret/tls/api"]
			s.Custom = observe.EncodeMeta(s.Custom, "web", w.Ledger.Record(w.T, "api").Live)
		}, then: "none none"},
	}
	for name, tc := range tests {
		for _, all := range []bool{true, false} { // whether the old record is closed meanwhile
			t.Run(fmt.Sprintf("%s, closed %v", name, all), func(t *testing.T) {
				was := reconciletest.Certificate("api", "api.example.com")
				was.OnRemove = spec.Revoke
				w := reconciletest.NewWorld(t, was, reconciletest.Certificate("other", "other.example.com"))
				w.Settle()
				before := w.Ledger.Record(t, "api").Live
				next := renamed(was, "web")
				next.Domains = slices.Clone(was.Domains)
				if tc.change != nil {
					tc.change(next)
				}
				w.Desired = reconciletest.Desire(w.Desired.Certificate("other"), next)
				w.FailToMove(t, all)
				if tc.after != nil {
					tc.after(w)
				}
				hold := w.Ledger.Record(t, "web").Hold
				if tc.after == nil {
					w.HeldUntil(t, "web", hold.Until)
				}
				w.At = hold.Until
				w.Settle()
				r := w.Ledger.Record(t, "web")
				if r.State != ledger.StateLive || r.Failures != 0 || len(r.Formerly) != 1 || !r.HadName("api") || *pairFacts(r.Live) != *pairFacts(before) {
					t.Errorf("the record is %+v, live %+v", r, r.Live)
				}
				if got := w.Kinds(); got != tc.then || len(w.Ca.Orders) != 2 || len(w.Ca.Revoked) != 0 || !w.There("tls/api") {
					t.Errorf("then the plan is %s; %d orders, revoked %v", got, len(w.Ca.Orders), w.Ca.Revoked)
				}
				for _, e := range w.Ledger.Events(t)[2:] {
					if e.Reason != ledger.ReasonRenamed {
						t.Errorf("event: %+v", e)
					}
				}
			})
		}
	}
}

// TestRenamedWhileItIsAtWork checks that an attempt in progress under the old name ends
// before the rename.
func TestRenamedWhileItIsAtWork(t *testing.T) {
	was := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, was)
	w.Settle()
	w.Desired = reconciletest.Desire(renamed(was, "web"))
	obs, err := w.Reconciler().Observe(t.Context(), w.Desired)
	if err != nil {
		t.Fatal(err)
	}
	obs.AtWork = map[string]plan.Work{"api": {Action: plan.Action{Kind: ledger.KindRenew, Certificate: "api", Spec: was, Issuer: w.Desired.Issuers["ca"]}}}
	for _, a := range plan.New(w.Desired, obs, w.At).Actions {
		if a.Certificate == "web" && (a.Kind != ledger.KindHold || a.Wants != ledger.KindAdopt || !strings.Contains(a.Detail, "which has an attempt at work")) || a.Kind == ledger.KindRetire {
			t.Errorf("%s: %s, %s", a.Certificate, a.Kind, a.Detail)
		}
	}
}

// TestAFormerPlaceMattersNoMore checks that after the move certroll no longer reads the
// old path, so an unreadable old path delays nothing.
func TestAFormerPlaceMattersNoMore(t *testing.T) {
	old := ledger.Location{Mount: "kv", Path: "tls/api"}
	records := map[string]*ledger.Record{"api": {Certificate: "api", State: ledger.StateRetired, Live: &ledger.Live{Mount: old.Mount, Path: old.Path}}}
	desired := reconciletest.Desire(renamed(reconciletest.Certificate("api", "api.example.com"), "web"))
	if _, seen := observe.Locations(desired, records)[old]; !seen {
		t.Error("before the move it is not looked at")
	}
	records["web"] = &ledger.Record{Certificate: "web", State: ledger.StateLive, Live: &ledger.Live{Mount: "secret", Path: "tls/api"}}
	if _, seen := observe.Locations(desired, records)[old]; seen {
		t.Error("after the move it is looked at")
	}
}

// TestRenamedAndKilled covers a run that died when the metadata already had the new
// name and the ledger did not.
func TestRenamedAndKilled(t *testing.T) {
	was := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, was)
	w.Settle()
	w.Desired = reconciletest.Desire(renamed(was, "web"))
	custom := w.Vault.Secrets["secret/tls/api"].Custom
	live := w.Ledger.Record(t, "api").Live
	w.Vault.Secrets["secret/tls/api"].Custom = observe.EncodeMeta(custom, "web", live)
	if got := w.Kinds(); got != "retire adopt" {
		t.Fatalf("the plan is %s", got)
	}
	w.Settle()
	if got := w.Kinds(); got != "none" || !w.Ledger.Record(t, "web").HadName("api") || len(w.Ca.Orders) != 1 {
		t.Errorf("then the plan is %s", got)
	}
}

// TestRenamedThereAndBack checks that each rename has its own event and that the
// history stays complete.
func TestRenamedThereAndBack(t *testing.T) {
	was := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, was)
	w.Settle()
	for _, name := range []string{"web", "api", "web"} {
		w.At = w.At.Add(time.Hour)
		next := *was
		next.Name, next.MovedFrom = name, []string{"web"}
		if name == "web" {
			next.MovedFrom = []string{"api"}
		}
		w.Desired = reconciletest.Desire(&next)
		w.Settle()
		if got := w.Kinds(); got != "none" {
			t.Fatalf("as %s the plan is %s", name, got)
		}
	}
	if tree := w.Snapshot(t); tree == nil || len(w.Ledger.Events(t)) != 7 {
		t.Errorf("%d events", len(w.Ledger.Events(t)))
	}
}

// TestRenamedWithoutAMovedBlock checks that without a moved block certroll adopts the
// secret, attributes the change to the commit, and finds the history under the old
// name.
func TestRenamedWithoutAMovedBlock(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	w.At = w.At.Add(time.Hour)
	next := reconciletest.Certificate("web", "api.example.com")
	next.Vault.Path = "tls/api"
	w.Desired = reconciletest.Desire(next)
	w.Settle()
	if got := w.Kinds(); got != "none" || len(w.Ca.Orders) != 1 {
		t.Errorf("then the plan is %s; %d orders", got, len(w.Ca.Orders))
	}
	w.ExpectEvents(t, "web", "issue/missing adopt/foreign")
	for _, e := range w.Ledger.Events(t)[1:] {
		if e.Actor != reconciletest.TheOwner || e.Cause != "spec" {
			t.Errorf("event: %+v", e)
		}
	}
}

// decoded returns the spec of these files under the policies of certroll.hcl.
func decoded(t *testing.T, policies, certificates string, more ...spec.File) *spec.Spec {
	t.Helper()
	const trusted = "issuer \"ca\" {\n  directory = \"https://ca.example/dir\"\n  terms_of_service_agreed = true\n}\ndns \"lab\" { challenge = \"http-01\" }\n"
	files := append([]spec.File{{Path: "certs.hcl", Bytes: []byte(certificates)}}, more...)
	s, diags := decode.Files(t.Context(), files, spec.Trust{Known: true, Files: []spec.File{{Path: "certroll.hcl", Bytes: []byte(trusted + policies)}}})
	if s == nil {
		t.Fatal(diags)
	}
	return s
}

// TestMovedIsNoTheft checks that a team's moved block cannot take over a certificate of
// another team, whose files have other policies.
func TestMovedIsNoTheft(t *testing.T) {
	const policies = "policy \"all\" { files = [\"*.hcl\"] }\npolicy \"shop\" {\n  files = [\"shop/*.hcl\"]\n  vault = [\"secret/tls/shop/\"]\n}\npolicy \"pay\" { files = [\"pay/*.hcl\"] }\n"
	const defaults = "defaults {\n  issuer = issuer.ca\n  dns    = dns.lab\n}\n"
	one := func(path, text string) spec.File { return spec.File{Path: path, Bytes: []byte(text)} }
	keep := one("pay/keep.hcl", "certificate \"keep\" { domains = [\"keep.example.com\"] }\n")
	w := reconciletest.NewWorld(t)
	w.Desired = decoded(t, policies, defaults, keep, one("pay/a.hcl", "certificate \"pay-api\" { domains = [\"pay.example.com\"] }\n"))
	w.Settle()
	w.Desired = decoded(t, policies, defaults, keep, one("shop/a.hcl", "certificate \"mine\" {\n  domains = [\"shop.example.com\"]\n  vault { path = \"tls/shop/mine\" }\n}\nmoved {\n  from = \"pay-api\"\n  to   = \"mine\"\n}\n"))
	for _, a := range w.Plan() {
		switch a.Certificate {
		case "mine":
			if a.Kind != ledger.KindIssue || a.Record != nil || a.At.Path != "tls/shop/mine" || !strings.Contains(strings.Join(a.Warnings, "\n"), "not moved from pay-api: its file is under other policies") {
				t.Errorf("mine: %s at %s with the record %+v", a.Kind, a.At, a.Record)
			}
		case "pay-api":
			if a.Reason != ledger.ReasonRemoved {
				t.Errorf("pay-api: %s", a.Reason)
			}
		}
	}
	// Within one team it is a move, also to another file.
	w.Desired = decoded(t, policies, defaults, keep, one("pay/b.hcl", "certificate \"mine\" { domains = [\"pay.example.com\"] }\nmoved {\n  from = \"pay-api\"\n  to   = \"mine\"\n}\n"))
	if got := w.Kinds(); got != "none adopt retire" {
		t.Errorf("within one team: %s", got)
	}
}

// TestPrefixTripsTheBrake checks that a new or changed prefix moves many paths at once
// and waits for a person, while renewals continue at the old paths. A moved block for a
// whole for_each moves nothing.
func TestPrefixTripsTheBrake(t *testing.T) {
	fleet := func(prefix, block, more string) *spec.Spec {
		var keys []string
		for i := range 10 {
			keys = append(keys, fmt.Sprintf("\"c%d\"", i))
		}
		return decoded(t, "", "defaults {\n  issuer = issuer.ca\n  dns    = dns.lab\n"+prefix+"}\ncertificate \""+block+"\" {\n  for_each = toset(["+strings.Join(keys, ", ")+"])\n  domains  = [\"${each.key}.example.com\"]\n}\n"+more)
	}
	at := func(prefix string) string { return "  vault { prefix = \"" + prefix + "\" }\n" }
	w := reconciletest.NewWorld(t)
	w.Desired = fleet("", "shop", "")
	w.Settle()
	w.Desired = fleet(at("tls/shop/"), "shop", "")
	if n := w.Stopped(); n != 10 {
		t.Errorf("%d are held", n)
	}
	set := plan.MassHold(w.Plan())
	if set == nil || len(set.Certificates) != 10 || set.Certificates[0].What != ledger.MassMove {
		t.Fatalf("held: %+v", set)
	}
	w.At = w.At.Add(62 * times.Day)
	w.Settle()
	if p := w.Ledger.Record(t, "shop.c3").Live.Path; p != "tls/shop.c3" || len(w.Ca.Orders) != 20 {
		t.Errorf("it is at %s, with %d orders", p, len(w.Ca.Orders))
	}
	w.Desired = fleet("", "store", "moved {\n  from = \"shop\"\n  to   = \"store\"\n}\n")
	if set := plan.MassHold(w.Plan()); set != nil {
		t.Errorf("a moved block is held: %s", set.Summary())
	}
	w.Settle()
	if r := w.Ledger.Record(t, "store.c3"); r.Live.Path != "tls/shop.c3" || !r.HadName("shop.c3") || len(w.Ca.Orders) != 20 || plan.MassHold(w.Plan()) != nil {
		t.Errorf("the record is %+v", r)
	}
	w.Desired = fleet(at("tls/shop/"), "store", "moved {\n  from = \"shop\"\n  to   = \"store\"\n}\n")
	if set := plan.MassHold(w.Plan()); set == nil || len(set.Certificates) != 10 {
		t.Errorf("held: %+v", set)
	}
}
