package review_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/review"
	"certroll/reconcile/times"
	"certroll/spec"
	"certroll/spec/decode"
)

func TestChangeOf(t *testing.T) {
	cases := map[string]struct {
		base, head func() []*spec.Certificate
		live       []string // certificates of the base that are live
		after      time.Duration
		want       []string // "name change action: settings"
		anyway     []string
	}{
		"nothing": {
			base: reconciletest.Certificates("api"), head: reconciletest.Certificates("api"), live: []string{"api"},
		},
		"a renewal that is due is not the change's": {
			base: reconciletest.Certificates("api"), head: reconciletest.Certificates("api", "shop"), live: []string{"api"}, after: 61 * times.Day,
			want: []string{"shop added issue:"}, anyway: []string{"api"},
		},
		"what waits to be issued is not the change's": {
			base: reconciletest.Certificates("api", "shop"), head: reconciletest.Certificates("api", "shop"), live: []string{"api"}, anyway: []string{"shop"},
		},
		"a name more": {
			base: reconciletest.Certificates("api"), live: []string{"api"},
			head: reconciletest.Changed("api", func(c *spec.Certificate) {
				c.Domains = append(c.Domains, spec.Domain{Typed: "new.example.com", ASCII: "new.example.com"})
			}),
			want: []string{"api changed reissue: domains api.example.com -> api.example.com new.example.com (action)"},
		},
		"an endpoint needs no certificate": {
			base: reconciletest.Certificates("api"), live: []string{"api"},
			head: reconciletest.Changed("api", func(c *spec.Certificate) { c.Probes = reconciletest.Endpoints("api.example.com") }),
			want: []string{"api changed repair: probe  -> api.example.com:443 (at_once)"},
		},
		"a label needs no certificate": {
			base: reconciletest.Certificates("api"), live: []string{"api"},
			head: reconciletest.Changed("api", func(c *spec.Certificate) { c.Labels = map[string]string{"team": "edge"} }),
			want: []string{"api changed repair: labels.team  -> edge (at_once)"},
		},
		"a path is used from the next renewal on": {
			base: reconciletest.Certificates("api"), live: []string{"api"},
			head: reconciletest.Changed("api", func(c *spec.Certificate) { c.Vault.Path = "tls/other" }),
			want: []string{"api changed none: vault.path secret/tls/api -> secret/tls/other (next_renewal)"},
		},
		"a DNS account with a renewal that is due takes effect with it": {
			base: reconciletest.Certificates("api"), live: []string{"api"}, after: 61 * times.Day,
			head: reconciletest.Changed("api", func(c *spec.Certificate) { c.DNS = []string{"second"} }),
			want: []string{"api changed renew: dns lab -> second (action)"},
		},
		"a key shape while the renewal is off": {
			base: reconciletest.Changed("api", func(c *spec.Certificate) { c.Renewal.Auto = false }), live: []string{"api"},
			head: reconciletest.Changed("api", func(c *spec.Certificate) { c.Renewal.Auto, c.Key.Curve = false, "P-384" }),
			want: []string{"api changed none: key  -> ecdsa-P-384 (when_resumed)"},
		},
		"a block that is gone": {
			base: reconciletest.Certificates("api", "shop"), head: reconciletest.Certificates("shop"), live: []string{"api", "shop"},
			want: []string{"api removed retire:"},
		},
		"a block that is gone before anything was issued": {
			base: reconciletest.Certificates("api"), head: reconciletest.Certificates(), want: []string{"api removed -:"},
		},
		"a pause": {
			base: reconciletest.Certificates("api"), live: []string{"api"},
			head: reconciletest.Changed("api", func(c *spec.Certificate) { c.Renewal.Auto, c.Renewal.Reason = false, "migration" }),
			want: []string{"api changed note: renewal.auto on -> off (at_once), renewal.reason  -> migration (at_once)"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			base, head := reconciletest.Desire(tc.base()...), reconciletest.Desire(tc.head()...)
			var live []*spec.Certificate
			for _, n := range tc.live {
				live = append(live, base.Certificate(n))
			}
			set := review.ChangeOf(base, head, reconciletest.SeenLive(live...), reconciletest.Start.Add(tc.after))
			if got := changesOf(set); !slices.Equal(got, tc.want) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
			var anyway []string
			for _, a := range set.Anyway {
				anyway = append(anyway, a.Certificate)
			}
			if !slices.Equal(anyway, tc.anyway) {
				t.Errorf("anyway %q, want %q", anyway, tc.anyway)
			}
		})
	}
}

func changesOf(set *review.ChangeSet) []string {
	var list []string
	for _, c := range set.Certificates {
		action := "-"
		if c.After != nil {
			action = string(c.After.Kind)
		}
		var settings []string
		for _, s := range c.Settings {
			settings = append(settings, fmt.Sprintf(" %s %s -> %s (%s)", s.Field, s.Old, s.New, s.Effect))
		}
		list = append(list, fmt.Sprintf("%s %s %s:%s", c.Name, c.Change, action, strings.Join(settings, ",")))
	}
	return list
}

// TestChangeOfBlocks checks that a changed profile of an issuer affects certificates
// that did not change, and that blocks show references without resolving them.
func TestChangeOfBlocks(t *testing.T) {
	base, head := reconciletest.Desire(reconciletest.Certificates("api")()...), reconciletest.Desire(reconciletest.Certificates("api")()...)
	head.Issuers["ca"].Profile = "shortlived"
	base.DNS["lab"].Credentials = map[string]spec.Value{"TOKEN": {Source: spec.FromVault, Path: "secret/dns/main", Field: "token"}}
	head.DNS["lab"].Credentials = map[string]spec.Value{
		"TOKEN": {Source: spec.FromVault, Path: "secret/dns/main", Field: "token"}, "ENDPOINT": {Source: spec.Literal, Text: "https://evil.example"},
	}
	set := review.ChangeOf(base, head, reconciletest.SeenLive(base.Certificate("api")), reconciletest.Start)
	var changes []string
	for _, b := range set.Blocks {
		changes = append(changes, fmt.Sprintf("%s.%s %s %v %v %d", b.Type, b.Name, b.Change, b.Settings, b.Credentials, b.Certificates))
	}
	want := []string{
		"issuer.ca changed [{profile  shortlived }] [] 1",
		`dns.lab changed [{credentials.ENDPOINT  https://evil.example }] [vault("secret/dns/main", "token")] 1`,
	}
	if !slices.Equal(changes, want) {
		t.Errorf("blocks\n%q\nwant\n%q", changes, want)
	}
	if got := changesOf(set); !slices.Equal(got, []string{"api affected reissue:"}) {
		t.Errorf("certificates %q", got)
	}
	notes := review.Notes(set, base, head, nil, time.Minute)
	if len(notes) < 2 || notes[0].Code != review.NoteBlock || notes[1].Code != review.NoteBlock ||
		!strings.Contains(notes[1].Text, `it hands vault("secret/dns/main", "token") to whom it names`) {
		t.Errorf("remarks: %+v", notes)
	}
}

// TestChangeOfSettingsComplete checks that every setting of a certificate shows up when
// it changes.
func TestChangeOfSettingsComplete(t *testing.T) {
	for name, how := range map[string]func(*spec.Certificate){
		"domains":        func(c *spec.Certificate) { c.Domains[0].Typed = "API.example.com" },
		"issuer":         func(c *spec.Certificate) { c.Fallbacks = []string{"ca"} },
		"algorithm":      func(c *spec.Certificate) { c.Key.Algorithm = spec.RSA },
		"size":           func(c *spec.Certificate) { c.Key.Size = 4096 },
		"rotation":       func(c *spec.Certificate) { c.Key.Rotation = spec.RotateNever },
		"max_age":        func(c *spec.Certificate) { c.Key.MaxAge = 90 * times.Day },
		"next":           func(c *spec.Certificate) { c.Key.Next = true },
		"until":          func(c *spec.Certificate) { c.Renewal.Until = reconciletest.Start },
		"threshold":      func(c *spec.Certificate) { c.Renewal.ThresholdDays, c.Renewal.ThresholdStated = 20, true },
		"percent":        func(c *spec.Certificate) { c.Renewal.ThresholdPercent, c.Renewal.ThresholdStated = 20, true },
		"fallback_after": func(c *spec.Certificate) { c.Renewal.FallbackAfter = 9 * times.Day },
		"rotate":         func(c *spec.Certificate) { c.Rotate = "now" },
		"revoke":         func(c *spec.Certificate) { c.RotateRevoke = &spec.Revocation{Code: 1} },
		"mount":          func(c *spec.Certificate) { c.Vault.Mount = "kv" },
		"on_remove":      func(c *spec.Certificate) { c.OnRemove = spec.Delete },
		"file":           func(c *spec.Certificate) { c.File = "other.hcl" },
	} {
		if set := review.ChangeOf(reconciletest.Desire(reconciletest.Certificates("api")()...), reconciletest.Desire(reconciletest.Changed("api", how)()...), reconciletest.SeenLive(), reconciletest.Start); len(set.Certificates) != 1 {
			t.Errorf("%s: %q", name, changesOf(set))
		}
	}
}

// TestDigestsTellApart checks that digests in a comparison are long enough that nobody
// can find a second text with the same digest.
func TestDigestsTellApart(t *testing.T) {
	desired, diags := decode.Files(t.Context(), []spec.File{{Path: "a.hcl", Bytes: []byte(`
issuer "ca" {
  directory               = "https://acme-v02.api.letsencrypt.org/directory"
  terms_of_service_agreed = true
}
dns "lab" { challenge = "http-01" }
certificate "api" {
  domains = ["api.example.com"]
  issuer  = issuer.ca
  dns     = dns.lab
  vault { fields = { key = cert.private_key, cert = cert.fullchain } }
}`)}}, spec.Trust{Known: true})
	if desired == nil {
		t.Fatal(diags)
	}
	for _, text := range []string{review.FieldsText(desired.Certificates[0].Vault.Fields), review.TextDigest("PEM")} {
		digest := text[strings.LastIndexByte(text, ' ')+1:]
		if bits := 4 * len(digest); bits < 128 || strings.Trim(digest, "0123456789abcdef") != "" {
			t.Errorf("%q has %d bits", text, bits)
		}
	}
	if got := review.FieldsText(spec.Fields{}); got != "pem" {
		t.Errorf("a preset is told as %q", got)
	}
}

// TestBlockChangesComplete checks that every change of whom a block contacts, or how,
// shows up.
func TestBlockChangesComplete(t *testing.T) {
	secret := spec.Value{Source: spec.FromVault, Path: "secret/dns/x", Field: "token"}
	for name, how := range map[string]func(*spec.Issuer, *spec.DNSAccount){
		"directory":       func(i *spec.Issuer, _ *spec.DNSAccount) { i.Directory = "https://other.example/dir" },
		"email":           func(i *spec.Issuer, _ *spec.DNSAccount) { i.Email = "other@example.com" },
		"profile":         func(i *spec.Issuer, _ *spec.DNSAccount) { i.Profile = "shortlived" },
		"preferred chain": func(i *spec.Issuer, _ *spec.DNSAccount) { i.PreferredChain = "Root" },
		"processing":      func(i *spec.Issuer, _ *spec.DNSAccount) { i.Processing = 72 * time.Hour },
		"CA bundle":       func(i *spec.Issuer, _ *spec.DNSAccount) { i.CABundle = "PEM" },
		"EAB":             func(i *spec.Issuer, _ *spec.DNSAccount) { i.EAB = &spec.EAB{HMAC: secret} },
		"limits": func(i *spec.Issuer, _ *spec.DNSAccount) {
			i.Limits = &spec.Limits{Orders: spec.Limit{Burst: 1, Window: times.Day}}
		},
		"challenge":   func(_ *spec.Issuer, a *spec.DNSAccount) { a.Challenge = spec.HTTP01 },
		"provider":    func(_ *spec.Issuer, a *spec.DNSAccount) { a.Provider = "rfc2136" },
		"credential":  func(_ *spec.Issuer, a *spec.DNSAccount) { a.Credentials = map[string]spec.Value{"TOKEN": secret} },
		"zones":       func(_ *spec.Issuer, a *spec.DNSAccount) { a.Zones = []string{"example.com"} },
		"CNAME":       func(_ *spec.Issuer, a *spec.DNSAccount) { a.FollowCNAME = true },
		"parallel":    func(_ *spec.Issuer, a *spec.DNSAccount) { a.Parallel = 9 },
		"timeout":     func(_ *spec.Issuer, a *spec.DNSAccount) { a.Propagation.Timeout = time.Minute },
		"interval":    func(_ *spec.Issuer, a *spec.DNSAccount) { a.Propagation.Interval = time.Millisecond },
		"nameservers": func(_ *spec.Issuer, a *spec.DNSAccount) { a.Propagation.Nameservers = []string{"192.0.2.53:53"} },
		"wait":        func(_ *spec.Issuer, a *spec.DNSAccount) { a.Propagation.Wait = time.Second },
		"listen":      func(_ *spec.Issuer, a *spec.DNSAccount) { a.Listen = ":80" },
		"webroot":     func(_ *spec.Issuer, a *spec.DNSAccount) { a.Webroot = "/srv" },
	} {
		head := reconciletest.Desire()
		how(head.Issuers["ca"], head.DNS["lab"])
		set := review.ChangeOf(reconciletest.Desire(), head, reconciletest.SeenLive(), reconciletest.Start)
		if len(set.Blocks) != 1 || len(set.Blocks[0].Settings) != 1 {
			t.Errorf("%s: %+v", name, set.Blocks)
		}
	}
	head := reconciletest.Desire()
	delete(head.DNS, "lab")
	head.DNS["new"] = &spec.DNSAccount{Name: "new", Credentials: map[string]spec.Value{"TOKEN": secret}}
	set := review.ChangeOf(reconciletest.Desire(), head, reconciletest.SeenLive(), reconciletest.Start)
	if got := review.IssuerCredentials(&spec.Issuer{EAB: &spec.EAB{KeyID: secret, HMAC: secret}}); len(got) != 2 {
		t.Errorf("an EAB hands over %q", got)
	}
	if len(set.Blocks) != 2 || set.Blocks[0].Change != review.ChangeRemoved || set.Blocks[1].Change != review.ChangeAdded || len(set.Blocks[1].Credentials) != 1 {
		t.Errorf("blocks: %+v", set.Blocks)
	}
}

func TestRemarks(t *testing.T) {
	shape := func(algorithm spec.Algorithm, curve string, size int) func(*spec.Certificate) {
		return func(c *spec.Certificate) { c.Key.Algorithm, c.Key.Curve, c.Key.Size = algorithm, curve, size }
	}
	cases := map[string]struct {
		base, head func(*spec.Certificate) // nil: the default; see gone
		gone, live bool
		interval   time.Duration
		want       []string // "code: part of the text"
	}{
		"nothing":                  {},
		"a smaller curve":          {base: shape(spec.ECDSA, "P-384", 0), head: shape(spec.ECDSA, "P-256", 0), want: []string{"key_weaker: ecdsa-P-256, from ecdsa-P-384"}},
		"a larger curve":           {base: shape(spec.ECDSA, "P-256", 0), head: shape(spec.ECDSA, "P-384", 0)},
		"a smaller RSA key":        {base: shape(spec.RSA, "", 4096), head: shape(spec.RSA, "", 3072), want: []string{"key_weaker: rsa-3072, from rsa-4096"}},
		"RSA of the same class":    {base: shape(spec.ECDSA, "P-256", 0), head: shape(spec.RSA, "", 3072)},
		"ECDSA of the same class":  {base: shape(spec.RSA, "", 4096), head: shape(spec.ECDSA, "P-256", 0)},
		"RSA 2048 after P-256":     {base: shape(spec.ECDSA, "P-256", 0), head: shape(spec.RSA, "", 2048), want: []string{"key_weaker: rsa-2048, from ecdsa-P-256"}},
		"RSA 4096 after P-384":     {base: shape(spec.ECDSA, "P-384", 0), head: shape(spec.RSA, "", 4096), want: []string{"key_weaker: rsa-4096, from ecdsa-P-384"}},
		"left open: as it is live": {live: true, head: shape(spec.RSA, "", 2048), want: []string{"key_weaker: rsa-2048, from ecdsa-P-256"}},
		"rotation off":             {head: func(c *spec.Certificate) { c.Key.Rotation = spec.RotateNever }, want: []string{"rotation_off: renewals keep the private key"}},
		"rotation off before":      {base: func(c *spec.Certificate) { c.Key.Rotation = spec.RotateNever }, head: func(c *spec.Certificate) { c.Key.Rotation = spec.RotateNever }},
		"renewal off": {head: func(c *spec.Certificate) {
			c.Renewal.Auto, c.Renewal.Reason, c.Renewal.Until = false, "handed over", reconciletest.Start.Add(times.Day)
		},
			want: []string{"renewal_off: off until 2026-11-24T12:00:00Z (handed over)"}},
		"renewal off without a word": {head: func(c *spec.Certificate) { c.Renewal.Auto = false }, want: []string{"renewal_off: without an end, and no reason is stated"}},
		"another issuer":             {head: func(c *spec.Certificate) { c.Issuer = "ca2" }, want: []string{"issuer_swapped: its issuer changes from ca to ca2"}},
		"another account":            {head: func(c *spec.Certificate) { c.DNS = []string{"second", "lab"} }, want: []string{"dns_swapped: its DNS accounts change from lab to second, lab"}},
		"on_remove stronger":         {head: func(c *spec.Certificate) { c.OnRemove = spec.Revoke }, want: []string{`on_remove_changed: on_remove changes from "keep" to "revoke"`}},
		"on_remove weaker":           {base: func(c *spec.Certificate) { c.OnRemove = spec.Delete }, want: []string{`on_remove_changed: on_remove changes from "delete" to "keep"`}},
		"looked at elsewhere": {base: func(c *spec.Certificate) { c.Probes = reconciletest.Endpoints("old.example.net") },
			head: func(c *spec.Certificate) {
				c.Probes = reconciletest.Endpoints("api.example.com", "old.example.net", "lb.example.net")
			},
			want: []string{"probe_elsewhere: connect to lb.example.net:443, which is none of its names"}},
		"removed":                    {gone: true, want: []string{"removed: the ledger knows nothing of it"}},
		"removed and kept":           {gone: true, live: true, want: []string{`removed: on_remove is "keep": the secret stays`}},
		"removed and revoked":        {gone: true, live: true, base: func(c *spec.Certificate) { c.OnRemove = spec.Revoke }, want: []string{`removed: on_remove is "revoke": the certificate is revoked`}},
		"moved to another directory": {head: func(c *spec.Certificate) { reconciletest.InFile("other/api.hcl", c) }, want: []string{"directory_changed: from certs/ to other/"}},
		"pulled too seldom": {live: true, interval: 16 * times.Day, head: func(c *spec.Certificate) { c.Labels = map[string]string{"a": "b"} },
			want: []string{"lifetime_short: lives 90 days and is due 30 days before its end"}},
		"pulled often enough": {live: true, interval: 15 * times.Day, head: func(c *spec.Certificate) { c.Labels = map[string]string{"a": "b"} }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			keep := func(*spec.Certificate) {}
			with := func(how func(*spec.Certificate)) *spec.Spec {
				if how == nil {
					how = keep
				}
				s := reconciletest.Desire(reconciletest.Changed("api", how)()...)
				s.Issuers["ca2"] = &spec.Issuer{Name: "ca2", Directory: "https://ca.example/dir"}
				return s
			}
			base, head := with(tc.base), with(tc.head)
			if tc.gone {
				head.Certificates = nil
			}
			obs := reconciletest.SeenLive()
			if tc.live {
				obs = reconciletest.SeenLive(base.Certificates...)
			}
			notes := review.Notes(review.ChangeOf(base, head, obs, reconciletest.Start), base, head, nil, max(tc.interval, time.Second))
			if len(notes) != len(tc.want) {
				t.Fatalf("got %+v, want %q", notes, tc.want)
			}
			for i, r := range notes {
				code, text, _ := strings.Cut(tc.want[i], ": ")
				if r.Code != code || !strings.Contains(r.Text, text) || r.Place.File == "" || r.Place.Line != 3 || r.Place.Old != tc.gone {
					t.Errorf("got %+v, want %q", r, tc.want[i])
				}
			}
		})
	}
}

// TestRemarksLimit checks that a change that exceeds a CA limit is mentioned for the
// certificates that it delays.
func TestRemarksLimit(t *testing.T) {
	base, head := reconciletest.Desire(), reconciletest.Desire(reconciletest.Certificates("a", "b", "c")()...)
	for _, s := range []*spec.Spec{base, head} {
		s.Issuers["ca"].Limits = &spec.Limits{PerDomain: spec.Limit{Burst: 2, Window: 2 * times.Day}}
	}
	notes := review.Notes(review.ChangeOf(base, head, reconciletest.SeenLive(), reconciletest.Start), base, head, nil, time.Minute)
	if len(notes) != 1 || notes[0].Code != review.NoteLimit || !strings.Contains(notes[0].Text, "issue waits: issuer.ca allows no more than 2") {
		t.Errorf("remarks: %+v", notes)
	}
}

func TestOwners(t *testing.T) {
	put := func(name, dir string, domains ...string) *spec.Certificate {
		return reconciletest.InFile(dir+"/x.hcl", reconciletest.Certificate(name, domains...))
	}
	o := review.NewOwners(reconciletest.Desire(
		put("edge", "teams/edge", "*.example.com"), put("shop", "teams/shop", "shop.example.com", "api.shop.example.com"),
		put("till", "teams/shop/till", "till.example.com"), put("pay", "teams/pay", "pay.example.org"), put("root", ".", "example.net"),
	))
	cases := map[string]struct{ name, dir, theirs string }{
		"one's own":                         {"www.shop.example.com", "teams/shop", ""},
		"below another's":                   {"www.shop.example.com", "teams/pay", "teams/shop"},
		"the same":                          {"shop.example.com", "teams/pay", "teams/shop"},
		"a wildcard over another's":         {"*.shop.example.com", "teams/pay", "teams/shop"},
		"above":                             {"till.example.com", "teams/shop", ""},
		"within":                            {"new.shop.example.com", "teams/shop/eu", ""},
		"a domain that many share":          {"new.example.com", "teams/pay", ""},
		"a domain of one team":              {"new.example.org", "teams/edge", "teams/pay"},
		"a domain nobody has":               {"new.example.edu", "teams/edge", ""},
		"the root's is another's":           {"www.example.net", "teams/edge", "."},
		"a public suffix is nobody's":       {"mine.co.uk", "teams/edge", ""},
		"an address":                        {"192.0.2.1", "teams/edge", ""},
		"a name that only looks like below": {"notshop.example.com", "teams/pay", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if _, theirs, _, _ := o.Other(tc.name, tc.dir); theirs != tc.theirs {
				t.Errorf("got %q, want %q", theirs, tc.theirs)
			}
		})
	}
}

// TestObserveRecords checks that a plan from the ledger alone equals the plan from
// Vault if the ledger has recorded everything.
func TestObserveRecords(t *testing.T) {
	gone := reconciletest.Certificate("gone", "gone.example.com")
	gone.OnRemove = spec.Delete
	live := reconciletest.Certificates("api", "shop")()
	obs := reconciletest.SeenLive(append(live, gone)...)
	obs.Records["gone"].State = ledger.StateRetired
	tree := fstest.MapFS{}
	for name, r := range obs.Records {
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		tree[ledger.RecordFile(name)] = &fstest.MapFile{Data: b}
	}
	head := reconciletest.Desire(append(live, reconciletest.Certificate("new", "new.example.com"), gone)...)
	for _, after := range []time.Duration{0, 61 * times.Day, 100 * times.Day} {
		now := reconciletest.Start.Add(after)
		seen, err := plan.ObserveRecords(tree, now)
		if err != nil {
			t.Fatal(err)
		}
		want := *obs
		want.Secrets[plan.TargetOf(gone)] = plan.Secret{Version: 1, Owner: "gone", Live: want.Secrets[plan.TargetOf(gone)].Live}
		got, exact := plan.New(head, seen, now).Actions, plan.New(head, &want, now).Actions
		for i := range got {
			if !review.SameAction(&got[i], &exact[i]) || got[i].Secret.Version != exact[i].Secret.Version {
				t.Errorf("%s after %s: %s (%s), by Vault %s (%s)", got[i].Certificate, after, got[i].Kind, got[i].Detail, exact[i].Kind, exact[i].Detail)
			}
		}
	}
}

func TestRecall(t *testing.T) {
	base := func() (*spec.Spec, *plan.Observed) {
		s := reconciletest.Desire(reconciletest.Certificates("api", "new", "shop")()...)
		return s, reconciletest.SeenLive(s.Certificate("api"), s.Certificate("shop"))
	}
	now := reconciletest.Start.Add(61 * times.Day)
	desired, obs := base()
	saved := plan.Save(desired, plan.New(desired, obs, now).Actions)
	if len(saved) != 3 {
		t.Fatalf("saved %+v", saved)
	}
	cases := map[string]struct {
		change func(*spec.Spec, *plan.Observed)
		moved  []string // "name: part of the current value"
	}{
		"nothing": {},
		"a version more": {
			change: func(s *spec.Spec, o *plan.Observed) { advance(o, s.Certificate("api"), 2, "b2") },
			moved:  []string{"api: none, secret/tls/api at version 2, serial b2"},
		},
		"written since": {
			change: func(s *spec.Spec, o *plan.Observed) { advance(o, s.Certificate("new"), 1, "c3") },
			moved:  []string{"new: repair, secret/tls/new at version 1, serial c3"},
		},
		"held meanwhile": {
			change: func(s *spec.Spec, o *plan.Observed) {
				o.Records["shop"].Hold = &ledger.Hold{Until: now.Add(times.Day), Reason: "failure 1", SpecDigest: plan.SpecDigest(s, s.Certificate("shop"))}
			},
			moved: []string{"shop: hold, secret/tls/shop at version 1, serial a1: failure 1"},
		},
		"another directory in certroll.hcl": {
			change: func(s *spec.Spec, _ *plan.Observed) { s.Issuers["ca"].Email = "other@example.com" },
			moved:  []string{"new: see certroll.hcl", "api: see certroll.hcl", "shop: see certroll.hcl"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			desired, obs := base()
			if tc.change != nil {
				tc.change(desired, obs)
			}
			todo, moved := plan.Recall(desired, saved, plan.New(desired, obs, now).Actions)
			if len(todo) != 3 || len(moved) != len(tc.moved) {
				t.Fatalf("%d actions, moved %+v", len(todo), moved)
			}
			for _, want := range tc.moved {
				certificate, text, _ := strings.Cut(want, ": ")
				if !slices.ContainsFunc(moved, func(m plan.Moved) bool { return m.Certificate == certificate && strings.Contains(m.Now, text) }) {
					t.Errorf("moved %+v, want %s", moved, want)
				}
			}
		})
	}
	if todo, _ := plan.Recall(desired, saved[:1], plan.New(desired, obs, now).Actions); len(todo) != 1 || todo[0].Certificate != saved[0].Certificate {
		t.Errorf("what was not saved is done: %+v", todo)
	}
}

// advance adds a newly issued version to a certificate's secret.
func advance(o *plan.Observed, c *spec.Certificate, version int, serial string) {
	s := reconciletest.LiveSecret(c, func(l *ledger.Live) {
		l.Version, l.Serial, l.NotBefore, l.NotAfter = version, serial, reconciletest.Start.Add(60*times.Day), reconciletest.Start.Add(150*times.Day)
	})
	s.Version = version
	o.Secrets[plan.TargetOf(c)] = s
	if r := o.Records[c.Name]; r != nil {
		o.Records[c.Name] = reconciletest.LiveRecord(c, s)
	}
}

// TestRemarksOfKeys checks that the reviewer sees a key that moves elsewhere and a
// credential that a certificate exposes.
func TestRemarksOfKeys(t *testing.T) {
	was := reconciletest.Certificate("api", "api.example.com")
	was.Vault = spec.Target{Mount: "secret", Path: "tls/shop/api", Fields: reconciletest.FieldsLike(t, `{ key = cert.private_key, crt = cert.fullchain }`)}
	notes := func(change func(*spec.Certificate)) string {
		now := *was
		change(&now)
		base, head := reconciletest.Desire(was), reconciletest.Desire(&now)
		var list []string
		for _, r := range review.Notes(review.ChangeOf(base, head, reconciletest.SeenLive(was), reconciletest.Start), base, head, nil, time.Minute) {
			list = append(list, r.Code+" "+r.Text)
		}
		return strings.Join(list, "\n")
	}
	for name, tc := range map[string]struct {
		change func(*spec.Certificate)
		want   []string
	}{
		"nothing": {func(*spec.Certificate) {}, nil},
		"path":    {func(c *spec.Certificate) { c.Vault.Path = "tls/readable/api" }, []string{"key_elsewhere its private key moves from secret/tls/shop/api to secret/tls/readable/api"}},
		"looser":  {func(c *spec.Certificate) { c.Vault.Path = "tls/api" }, []string{"secret/tls/ is above secret/tls/shop/, and more people may read there"}},
		"mount":   {func(c *spec.Certificate) { c.Vault.Mount = "public" }, []string{"key_elsewhere its private key moves from secret/tls/shop/api to public/tls/shop/api"}},
		"fields": {func(c *spec.Certificate) {
			c.Vault.Fields = reconciletest.FieldsLike(t, `{ all = "${cert.private_key}${cert.fullchain}" }`)
		},
			[]string{"fields_changed the fields of secret/tls/shop/api change"}},
		"preset": {func(c *spec.Certificate) { c.Vault.Fields = spec.Fields{} }, []string{"fields_changed"}},
		"password": {func(c *spec.Certificate) {
			c.Vault.Fields = reconciletest.FieldsLike(t, `{ p12 = pkcs12(env("CERTROLL_DNS_CLOUDFLARE_TOKEN")) }`)
		},
			[]string{"fields_changed", `reference_handed its keystore takes env("CERTROLL_DNS_CLOUDFLARE_TOKEN") as its password`}},
	} {
		got := notes(tc.change)
		if len(tc.want) == 0 && got != "" {
			t.Errorf("%s: %s", name, got)
		}
		for _, want := range tc.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s:\n%s\nwant in it: %s", name, got, want)
			}
		}
	}
}
