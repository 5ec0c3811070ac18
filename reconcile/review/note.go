package review

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
	"certroll/spec/text"
)

// Note is something a reviewer of a change should look at, and where.
type Note struct {
	Code        string
	Certificate string // "" where it is about a block that is none
	Text        string // one sentence
	Place       Place
}

// Place is where in the config repo something stands.
type Place struct {
	File         string // relative to the config directory; "": nowhere
	Line, Column int    // from 1; 0: not known
	Old          bool   // it stands in the base revision, and may be gone
}

func placeOf(r hcl.Range, old bool) Place {
	return Place{File: r.Filename, Line: r.Start.Line, Column: r.Start.Column, Old: old}
}

// The codes of remarks, in the order they are told.
const (
	RemarkBlock     = "block_changed"      // an issuer or dns block is new or another one
	RemarkMass      = "mass_change"        // much of what is live would change at once: it is held
	RemarkOther     = "other_teams_domain" // a name under a domain of another directory
	RemarkKey       = "key_elsewhere"      // the private key is written to another place
	RemarkFields    = "fields_changed"     // the secret holds the private key in other fields
	RemarkPassword  = "reference_handed"   // a keystore takes a credential as its password
	RemarkRemoved   = "removed"            // a certificate's block is gone
	RemarkWeaker    = "key_weaker"         //
	RemarkRotation  = "rotation_off"       // key.rotation is "never" from now on
	RemarkAuto      = "renewal_off"        // renewal.auto is off from now on
	RemarkIssuer    = "issuer_swapped"     //
	RemarkDNS       = "dns_swapped"        //
	RemarkOnRemove  = "on_remove_changed"  //
	RemarkLimit     = "limit_passed"       // a limit of the CA makes it wait
	RemarkLifetime  = "lifetime_short"     // pulls come too seldom for it
	RemarkProbe     = "probe_elsewhere"    // certroll will connect to a host that is none of its names
	RemarkDirectory = "directory_changed"  // the block moved to another directory
	RemarkCheck     = "dns_check"          // it could not be issued as the DNS stands
	RemarkSameNames = "same_names"         // another certificate of the same CA has exactly its names
)

var noteOrder = []string{
	RemarkBlock, RemarkMass, RemarkOther, RemarkKey, RemarkFields, RemarkPassword, RemarkRemoved, RemarkDirectory, RemarkWeaker, RemarkRotation, RemarkAuto, RemarkIssuer, RemarkDNS,
	RemarkOnRemove, RemarkProbe, RemarkSameNames, RemarkLimit, RemarkLifetime, RemarkCheck,
}

// SortNotes brings remarks into the order they are told: by code, then by
// certificate. A code that is not known comes last.
func SortNotes(remarks []Note) {
	rank := func(code string) int {
		if i := slices.Index(noteOrder, code); i >= 0 {
			return i
		}
		return len(noteOrder)
	}
	slices.SortStableFunc(remarks, func(a, b Note) int {
		return cmp.Or(cmp.Compare(rank(a.Code), rank(b.Code)), cmp.Compare(a.Certificate, b.Certificate))
	})
}

// Notes are what a reviewer should look at in a change. where finds settings
// in the files of the head, and interval is how often certroll pulls.
func Notes(s *ChangeSet, base, head *spec.Spec, where *spec.Locator, interval time.Duration) []Note {
	r := &reviewer{head: head, owners: NewOwners(base), where: where, interval: interval}
	for _, b := range s.Blocks {
		r.block(b)
	}
	r.mass(s)
	for _, c := range s.Certificates {
		r.certificate(c)
	}
	r.sameNames(s)
	SortNotes(r.remarks)
	return r.remarks
}

// reviewer gathers remarks.
type reviewer struct {
	head     *spec.Spec
	owners   Owners
	where    *spec.Locator
	interval time.Duration
	remarks  []Note
}

// at is where a setting of a block of the head stands.
func (r *reviewer) at(header hcl.Range, field string) Place {
	return placeOf(r.where.Setting(header, field), false)
}

func (r *reviewer) say(code, certificate string, at Place, format string, args ...any) {
	r.remarks = append(r.remarks, Note{Code: code, Certificate: certificate, Text: fmt.Sprintf(format, args...), Place: at})
}

// mass: the brake will hold what the change would do.
func (r *reviewer) mass(s *ChangeSet) {
	set := plan.MassHold(s.Planned)
	if set == nil {
		return
	}
	for _, c := range s.Certificates {
		if c.After == nil || c.After.Mass == nil {
			continue
		}
		at := Place{}
		switch {
		case c.New != nil:
			at = placeOf(c.New.Range, false)
		case c.Old != nil:
			at = placeOf(c.Old.Range, true)
		}
		r.say(RemarkMass, "", at, "this waits for a person once it is merged: %s; nothing of it is deleted, revoked or ordered before certroll accept --missing %s", set.Summary(), set.ID)
		return
	}
}

// block: whoever may change where a credential is sent, has it.
func (r *reviewer) block(b BlockChange) {
	name, at := b.Type+"."+b.Name, placeOf(b.At, b.Change == ChangeRemoved)
	if b.Change == ChangeChanged {
		at = r.at(b.At, b.Settings[0].Field)
	}
	hands := ""
	if len(b.Credentials) > 0 && b.Change != ChangeRemoved {
		hands = "; it hands " + strings.Join(b.Credentials, ", ") + " to whom it names"
	}
	switch b.Change {
	case ChangeAdded:
		r.say(RemarkBlock, "", at, "%s is new%s", name, hands)
	case ChangeRemoved:
		r.say(RemarkBlock, "", at, "%s is gone", name)
	default:
		fields := make([]string, len(b.Settings))
		for i, s := range b.Settings {
			fields[i] = s.Field
		}
		r.say(RemarkBlock, "", at, "%s changed %s, for %s%s", name, strings.Join(fields, ", "), text.Counted(b.Certificates, "certificate"), hands)
	}
}

func (r *reviewer) certificate(c CertificateChange) {
	if c.New == nil {
		if c.Old != nil {
			r.say(RemarkRemoved, c.Name, placeOf(c.Old.Range, true), "%s", removedText(c))
		}
		return
	}
	r.names(c)
	r.limit(c)
	r.lifetime(c)
	r.turnedOff(c)
	r.probes(c)
	r.passwords(c)
	if c.Old != nil {
		r.weaker(c)
		r.swapped(c)
	}
}

// removedText says what becomes of a certificate whose block is gone.
func removedText(c CertificateChange) string {
	if c.After == nil {
		return "its block is gone; the ledger knows nothing of it, and nothing is done"
	}
	return c.After.Detail
}

// names looks for names that the certificate did not have before, under a
// domain of another directory.
func (r *reviewer) names(c CertificateChange) {
	dir := path.Dir(c.New.File)
	var had []string
	if c.Old != nil {
		had = c.Old.Names()
		if was := path.Dir(c.Old.File); was != dir {
			r.say(RemarkDirectory, c.Name, placeOf(c.New.Range, false), "its block moved from %s to %s: check who may change files there", directoryText(was), directoryText(dir))
		}
	}
	for _, d := range c.New.Domains {
		if slices.Contains(had, d.ASCII) {
			continue
		}
		if domain, theirs, certificate, ok := r.owners.Other(d.ASCII, dir); ok {
			r.say(RemarkOther, c.Name, r.at(c.New.Range, fieldDomains), "%s stands under %s, whose names are in %s (certificate %s) and not in %s",
				d.Typed, domain, directoryText(theirs), certificate, directoryText(dir))
		}
	}
}

// sameNames: each set of names that a change brings twice, once, at a certificate that the
// change brings.
func (r *reviewer) sameNames(s *ChangeSet) {
	brings := map[string]bool{}
	for _, c := range s.Certificates {
		brings[c.Name] = c.New != nil && (c.Old == nil || keypair.NamesDigest(c.Old.Names()) != keypair.NamesDigest(c.New.Names()) || c.Old.Issuer != c.New.Issuer)
	}
	for _, set := range r.head.SameNames() {
		for _, c := range slices.Backward(set) {
			if brings[c.Name] {
				r.say(RemarkSameNames, c.Name, r.at(c.Range, fieldDomains), "%s", spec.SameNamesText(c, set))
				break
			}
		}
	}
}

func directoryText(dir string) string {
	if dir == "." {
		return "the config repo's root"
	}
	return dir + "/"
}

// limit: what the change asks for passes a limit of the CA.
func (r *reviewer) limit(c CertificateChange) {
	if a := c.After; a != nil && a.Kind == ledger.KindHold && a.Reason == ledger.ReasonLimit {
		r.say(RemarkLimit, c.Name, placeOf(c.New.Range, false), "%s waits: %s", a.Wants, a.Detail)
	}
}

// lifetime: fewer than two pulls fit between the moment a certificate is due
// and its end.
func (r *reviewer) lifetime(c CertificateChange) {
	issuer := r.head.Issuers[c.New.Issuer]
	life, known := issuer.Lifetime()
	if !known && c.After != nil && c.After.Secret.Live != nil {
		life, known = c.After.Secret.Live.Lifetime(), true
	}
	if !known {
		return
	}
	left := plan.Window(c.New, &ledger.Live{NotAfter: time.Time{}.Add(life - time.Second)})
	if left < 2*r.interval {
		r.say(RemarkLifetime, c.Name, r.at(c.New.Range, "renewal.threshold"), "it lives %s and is due %s before its end; certroll pulls every %s, which leaves no second try: renew it earlier, or pull more often",
			times.Days(life), times.Days(left), r.interval)
	}
}

// weaker: its next key protects less than the one that the spec asked for.
func (r *reviewer) weaker(c CertificateChange) {
	recorded := ""
	if c.After != nil && c.After.Secret.Live != nil {
		recorded = c.After.Secret.Live.KeyShape
	}
	if was, is := keypair.ShapeOf(c.Old.Key, recorded), keypair.ShapeOf(c.New.Key, recorded); weakerShape(was, is) {
		r.say(RemarkWeaker, c.Name, r.at(c.New.Range, fieldKey), "its key becomes weaker: %s, from %s", is, was)
	}
}

// probes: certroll stands where the one who writes this may not.
func (r *reviewer) probes(c CertificateChange) {
	var had []string
	if c.Old != nil {
		had = c.Old.Endpoints()
	}
	for _, p := range c.New.Probes {
		if !p.Own(c.New) && !slices.Contains(had, p.Endpoint()) {
			r.say(RemarkProbe, c.Name, r.at(c.New.Range, fieldProbe), "certroll will connect to %s, which is none of its names, to see what is served there", p.Endpoint())
		}
	}
}

// moved: whoever may read where the key goes, has it.
func (r *reviewer) moved(c CertificateChange, at Place) {
	was, is := plan.TargetOf(c.Old).String(), plan.TargetOf(c.New).String()
	looser := ""
	if dir := path.Dir(is); dir != path.Dir(was) && strings.HasPrefix(path.Dir(was)+"/", dir+"/") {
		looser = fmt.Sprintf("; %s/ is above %s/, and more people may read there", dir, path.Dir(was))
	}
	r.say(RemarkKey, c.Name, at, "its private key goes to %s, and was at %s: see who may read there%s", is, was, looser)
}

// passwords: whoever reads a keystore can try passwords at leisure, and whoever
// writes the password can open it.
func (r *reviewer) passwords(c CertificateChange) {
	var had []string
	if c.Old != nil {
		had = references(c.Old.Vault.Fields.Passwords()...)
	}
	for _, ref := range references(c.New.Vault.Fields.Passwords()...) {
		if !slices.Contains(had, ref) {
			r.say(RemarkPassword, c.Name, r.at(c.New.Range, fieldFields), "its keystore takes %s as its password: whoever reads %s can try to guess it", ref, plan.TargetOf(c.New))
		}
	}
}

// turnedOff looks at what is off from now on, and is on where nothing is said.
func (r *reviewer) turnedOff(c CertificateChange) {
	if c.New.Key.Rotation == spec.RotateNever && (c.Old == nil || c.Old.Key.Rotation != spec.RotateNever) {
		until := ""
		if c.New.Key.MaxAge > 0 {
			until = " until it is " + times.Days(c.New.Key.MaxAge) + " old"
		}
		r.say(RemarkRotation, c.Name, r.at(c.New.Range, fieldRotation), "key.rotation is turned off: renewals keep the private key%s", until)
	}
	if !c.New.Renewal.Auto && (c.Old == nil || c.Old.Renewal.Auto) {
		end := plan.PauseText(c.New)
		if c.New.Renewal.Until.IsZero() {
			end += ", without an end"
		}
		if c.New.Renewal.Reason == "" {
			end += ", and no reason is stated"
		}
		r.say(RemarkAuto, c.Name, r.at(c.New.Range, fieldAuto), "renewal.auto is turned off%s: certroll does not renew it", end)
	}
}

// swapped looks at what an existing certificate gets another one of.
func (r *reviewer) swapped(c CertificateChange) {
	for _, s := range c.Settings {
		at := r.at(c.New.Range, s.Field)
		switch s.Field {
		case fieldIssuer:
			r.say(RemarkIssuer, c.Name, at, "its issuer is %s, and was %s", s.New, s.Old)
		case fieldDNS:
			r.say(RemarkDNS, c.Name, at, "its DNS accounts are %s, and were %s", s.New, s.Old)
		case fieldPath:
			r.moved(c, at)
		case fieldFields:
			r.say(RemarkFields, c.Name, at, "the fields of %s change from %s to %s: its readers get the private key in another form", plan.TargetOf(c.New), s.Old, s.New)
		case fieldOnRemove:
			r.say(RemarkOnRemove, c.Name, at, "on_remove is %q, and was %q: %s", s.New, s.Old, removals[c.New.OnRemove])
		}
	}
}

var removals = map[spec.OnRemove]string{
	spec.Keep:   "without its block the secret stays in Vault; certroll neither renews nor deletes it",
	spec.Delete: "without its block the secret is deleted",
	spec.Revoke: "without its block the certificate is revoked and the secret deleted",
}

// weakerShape tells whether a key shape is weaker than another. Between
// algorithms the comparable strengths of NIST SP 800-57 part 1, table 2,
// count, by class; within one algorithm the size.
func weakerShape(was, is string) bool {
	a, b := strength(was), strength(is)
	if a == b && AlgorithmOf(was) == AlgorithmOf(is) {
		return sizeOf(is) < sizeOf(was)
	}
	return b < a
}

// AlgorithmOf is a key shape without its size.
func AlgorithmOf(shape string) string {
	algorithm, _, _ := strings.Cut(shape, "-")
	return algorithm
}

// sizeOf is the number at the end of a key shape.
func sizeOf(shape string) int {
	n, err := strconv.Atoi(shape[strings.LastIndexByte(shape, '-')+1:])
	if err != nil {
		return 0
	}
	return n
}

// strength is the class of a key shape in bits of a symmetric key.
func strength(shape string) int {
	size := sizeOf(shape)
	if spec.Algorithm(AlgorithmOf(shape)) == spec.ECDSA {
		return size / 2
	}
	if size < 3072 {
		return 112
	}
	return 128
}
