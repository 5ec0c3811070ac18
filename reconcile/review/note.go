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

// Note is a point that a reviewer of a change should check, and its place.
type Note struct {
	Code        string
	Certificate string // "" for a note about another block
	Text        string // one sentence
	Place       Place
}

// Place is a position in the config repo.
type Place struct {
	File         string // relative to the config directory; "": none
	Line, Column int    // from 1; 0: unknown
	Old          bool   // in the base revision; the head may lack it
}

// placeOf converts a range of HCL. old marks a range in the base revision.
func placeOf(r hcl.Range, old bool) Place {
	return Place{File: r.Filename, Line: r.Start.Line, Column: r.Start.Column, Old: old}
}

// The codes of notes, in the order of the output.
const (
	NoteBlock     = "block_changed"      // an issuer or dns block is new or changed
	NoteMass      = "mass_change"        // the change trips the brake, which holds it
	NoteOther     = "other_teams_domain" // a name under a domain of another directory
	NoteKey       = "key_elsewhere"      // the private key goes to another Vault path
	NoteFields    = "fields_changed"     // the private key goes to other fields of the secret
	NotePassword  = "reference_handed"   // a keystore takes a credential as its password
	NoteRemoved   = "removed"            // a certificate's block is gone
	NoteWeaker    = "key_weaker"         // the next key is weaker than the last
	NoteRotation  = "rotation_off"       // key.rotation becomes "never"
	NoteAuto      = "renewal_off"        // renewal.auto goes off
	NoteIssuer    = "issuer_swapped"     // an existing certificate gets another issuer
	NoteDNS       = "dns_swapped"        // an existing certificate gets other DNS accounts
	NoteOnRemove  = "on_remove_changed"  // removing the block will have another consequence
	NoteLimit     = "limit_passed"       // a rate limit of the CA delays the order
	NoteLifetime  = "lifetime_short"     // certroll pulls too rarely for the lifetime
	NoteProbe     = "probe_elsewhere"    // certroll will connect to a host that is not one of the certificate's names
	NoteDirectory = "directory_changed"  // the block moved to another directory
	NoteCheck     = "dns_check"          // the DNS check predicts that the order fails
	NoteSameNames = "same_names"         // another certificate of the same CA has exactly these names
)

// noteOrder is the order of the codes in the output, the most consequential first.
var noteOrder = []string{
	NoteBlock, NoteMass, NoteOther, NoteKey, NoteFields, NotePassword, NoteRemoved, NoteDirectory, NoteWeaker, NoteRotation, NoteAuto, NoteIssuer, NoteDNS,
	NoteOnRemove, NoteProbe, NoteSameNames, NoteLimit, NoteLifetime, NoteCheck,
}

// SortNotes sorts notes by code, then by certificate. An unknown code comes last.
func SortNotes(notes []Note) {
	rank := func(code string) int {
		if i := slices.Index(noteOrder, code); i >= 0 {
			return i
		}
		return len(noteOrder)
	}
	slices.SortStableFunc(notes, func(a, b Note) int {
		return cmp.Or(cmp.Compare(rank(a.Code), rank(b.Code)), cmp.Compare(a.Certificate, b.Certificate))
	})
}

// Notes returns the points that a reviewer should check in a change. where locates settings
// in the files of the head, and interval is the time between two pulls.
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
	SortNotes(r.notes)
	return r.notes
}

// reviewer collects notes.
type reviewer struct {
	head     *spec.Spec
	owners   Owners
	where    *spec.Locator
	interval time.Duration
	notes    []Note
}

// at returns the place of a setting of a block in the head.
func (r *reviewer) at(header hcl.Range, field string) Place {
	return placeOf(r.where.Setting(header, field), false)
}

// say adds a note.
func (r *reviewer) say(code, certificate string, at Place, format string, args ...any) {
	r.notes = append(r.notes, Note{Code: code, Certificate: certificate, Text: fmt.Sprintf(format, args...), Place: at})
}

// mass adds a note if the brake will hold the change.
func (r *reviewer) mass(s *ChangeSet) {
	set := plan.MassHold(s.Planned.Actions)
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
		r.say(NoteMass, "", at, "after the merge certroll holds this change until a person accepts it: %s; certroll deletes, revokes and orders nothing of it before certroll accept --missing %s", set.Summary(), set.ID)
		return
	}
}

// block adds a note about a changed issuer or dns block: an author who redirects a
// credential to another host obtains it.
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
		r.say(NoteBlock, "", at, "%s is new%s", name, hands)
	case ChangeRemoved:
		r.say(NoteBlock, "", at, "%s is gone", name)
	default:
		fields := make([]string, len(b.Settings))
		for i, s := range b.Settings {
			fields[i] = s.Field
		}
		r.say(NoteBlock, "", at, "%s changed %s, for %s%s", name, strings.Join(fields, ", "), text.Counted(b.Certificates, "certificate"), hands)
	}
}

// certificate adds the notes about one certificate. weaker and swapped compare with the base
// revision, so that a new certificate gets neither note.
func (r *reviewer) certificate(c CertificateChange) {
	if c.New == nil {
		if c.Old != nil {
			r.say(NoteRemoved, c.Name, placeOf(c.Old.Range, true), "%s", removedText(c))
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

// removedText describes the consequence for a certificate whose block is gone.
func removedText(c CertificateChange) string {
	if c.After == nil {
		return "its block is gone; the ledger knows nothing of it, and nothing is done"
	}
	return c.After.Detail
}

// names adds a note for each new name under a domain of another directory.
func (r *reviewer) names(c CertificateChange) {
	dir := path.Dir(c.New.File)
	var had []string
	if c.Old != nil {
		had = c.Old.Names()
		if was := path.Dir(c.Old.File); was != dir {
			r.say(NoteDirectory, c.Name, placeOf(c.New.Range, false), "its block moved from %s to %s: check who may change files there", directoryText(was), directoryText(dir))
		}
	}
	for _, d := range c.New.Domains {
		// Only names that the change adds.
		if slices.Contains(had, d.ASCII) {
			continue
		}
		if domain, theirs, certificate, ok := r.owners.Other(d.ASCII, dir); ok {
			r.say(NoteOther, c.Name, r.at(c.New.Range, fieldDomains), "%s stands under %s, whose names are in %s (certificate %s) and not in %s",
				d.Typed, domain, directoryText(theirs), certificate, directoryText(dir))
		}
	}
}

// sameNames adds one note for each set of names that several certificates have after the
// change, at a certificate that the change adds.
func (r *reviewer) sameNames(s *ChangeSet) {
	brings := map[string]bool{}
	for _, c := range s.Certificates {
		brings[c.Name] = c.New != nil && (c.Old == nil || keypair.NamesDigest(c.Old.Names()) != keypair.NamesDigest(c.New.Names()) || c.Old.Issuer != c.New.Issuer)
	}
	for _, set := range r.head.SameNames() {
		for _, c := range slices.Backward(set) {
			if brings[c.Name] {
				r.say(NoteSameNames, c.Name, r.at(c.Range, fieldDomains), "%s", spec.SameNamesText(c, set))
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

// limit adds a note if the change passes a rate limit of the CA.
func (r *reviewer) limit(c CertificateChange) {
	if a := c.After; a != nil && a.Kind == ledger.KindHold && a.Reason == ledger.ReasonLimit {
		r.say(NoteLimit, c.Name, placeOf(c.New.Range, false), "%s waits: %s", a.Wants, a.Detail)
	}
}

// lifetime adds a note if fewer than two pulls fit between the due time of a certificate
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
	// Window needs only the lifetime: a certificate from the zero time on has it. The last
	// second counts, see ledger.Live.Lifetime.
	left := plan.Window(c.New, &ledger.Live{NotAfter: time.Time{}.Add(life - time.Second)})
	if left < 2*r.interval {
		r.say(NoteLifetime, c.Name, r.at(c.New.Range, "renewal.threshold"), "it lives %s and is due %s before its end; certroll pulls every %s, which leaves no second try: renew it earlier, or pull more often",
			times.Days(life), times.Days(left), r.interval)
	}
}

// weaker adds a note if the next key is weaker than the one that the spec had asked for.
func (r *reviewer) weaker(c CertificateChange) {
	recorded := ""
	if c.After != nil && c.After.Secret.Live != nil {
		recorded = c.After.Secret.Live.KeyShape
	}
	if was, is := keypair.ShapeOf(c.Old.Key, recorded), keypair.ShapeOf(c.New.Key, recorded); weakerShape(was, is) {
		r.say(NoteWeaker, c.Name, r.at(c.New.Range, fieldKey), "its key becomes weaker: %s, from %s", is, was)
	}
}

// probes adds a note about new endpoints: certroll connects from a network that the author
// of the change may not reach.
func (r *reviewer) probes(c CertificateChange) {
	var had []string
	if c.Old != nil {
		had = c.Old.Endpoints()
	}
	for _, p := range c.New.Probes {
		if !p.Own(c.New) && !slices.Contains(had, p.Endpoint()) {
			r.say(NoteProbe, c.Name, r.at(c.New.Range, fieldProbe), "certroll will connect to %s, which is none of its names, to check the certificate that is served there", p.Endpoint())
		}
	}
}

// moved adds a note about a new Vault path: everyone who may read it obtains the private
// key.
func (r *reviewer) moved(c CertificateChange, at Place) {
	was, is := plan.TargetOf(c.Old).String(), plan.TargetOf(c.New).String()
	looser := ""
	// Vault policies usually grant a path and everything below it.
	if dir := path.Dir(is); dir != path.Dir(was) && strings.HasPrefix(path.Dir(was)+"/", dir+"/") {
		looser = fmt.Sprintf("; %s/ is above %s/, and more people may read there", dir, path.Dir(was))
	}
	r.say(NoteKey, c.Name, at, "its private key moves from %s to %s: check who may read there%s", was, is, looser)
}

// passwords adds a note about a keystore with a credential as its password. A reader of the
// keystore can guess the password offline, and the author of the password can open the
// keystore.
func (r *reviewer) passwords(c CertificateChange) {
	var had []string
	if c.Old != nil {
		had = references(c.Old.Vault.Fields.Passwords()...)
	}
	for _, ref := range references(c.New.Vault.Fields.Passwords()...) {
		if !slices.Contains(had, ref) {
			r.say(NotePassword, c.Name, r.at(c.New.Range, fieldFields), "its keystore takes %s as its password: whoever reads %s can try to guess it", ref, plan.TargetOf(c.New))
		}
	}
}

// turnedOff adds notes about settings whose default is on and that the change turns off.
func (r *reviewer) turnedOff(c CertificateChange) {
	if c.New.Key.Rotation == spec.RotateNever && (c.Old == nil || c.Old.Key.Rotation != spec.RotateNever) {
		until := ""
		if c.New.Key.MaxAge > 0 {
			until = " until it is " + times.Days(c.New.Key.MaxAge) + " old"
		}
		r.say(NoteRotation, c.Name, r.at(c.New.Range, fieldRotation), "key.rotation is turned off: renewals keep the private key%s", until)
	}
	if !c.New.Renewal.Auto && (c.Old == nil || c.Old.Renewal.Auto) {
		end := plan.PauseText(c.New)
		if c.New.Renewal.Until.IsZero() {
			end += ", without an end"
		}
		if c.New.Renewal.Reason == "" {
			end += ", and no reason is stated"
		}
		r.say(NoteAuto, c.Name, r.at(c.New.Range, fieldAuto), "renewal.auto is turned off%s: certroll does not renew it", end)
	}
}

// swapped adds notes about an existing certificate with another issuer, DNS account, Vault
// path, fields or on_remove.
func (r *reviewer) swapped(c CertificateChange) {
	for _, s := range c.Settings {
		at := r.at(c.New.Range, s.Field)
		switch s.Field {
		case fieldIssuer:
			r.say(NoteIssuer, c.Name, at, "its issuer changes from %s to %s", s.Old, s.New)
		case fieldDNS:
			r.say(NoteDNS, c.Name, at, "its DNS accounts change from %s to %s", s.Old, s.New)
		case fieldPath:
			r.moved(c, at)
		case fieldFields:
			r.say(NoteFields, c.Name, at, "the fields of %s change from %s to %s: its readers get the private key in another form", plan.TargetOf(c.New), s.Old, s.New)
		case fieldOnRemove:
			r.say(NoteOnRemove, c.Name, at, "on_remove changes from %q to %q: %s", s.Old, s.New, removals[c.New.OnRemove])
		}
	}
}

// removals describes the consequence of removing a block, by on_remove.
var removals = map[spec.OnRemove]string{
	spec.Keep:   "without its block the secret stays in Vault; certroll neither renews nor deletes it",
	spec.Delete: "without its block the secret is deleted",
	spec.Revoke: "without its block the certificate is revoked and the secret deleted",
}

// weakerShape reports whether the second key shape is weaker. Shapes of different
// algorithms compare by their strength (NIST SP 800-57 part 1, table 2), shapes of the same
// algorithm by size.
func weakerShape(was, is string) bool {
	a, b := strength(was), strength(is)
	if a == b && AlgorithmOf(was) == AlgorithmOf(is) {
		return sizeOf(is) < sizeOf(was)
	}
	return b < a
}

// AlgorithmOf returns a key shape without its size.
func AlgorithmOf(shape string) string {
	algorithm, _, _ := strings.Cut(shape, "-")
	return algorithm
}

// sizeOf returns the number at the end of a key shape.
func sizeOf(shape string) int {
	n, err := strconv.Atoi(shape[strings.LastIndexByte(shape, '-')+1:])
	if err != nil {
		return 0
	}
	return n
}

// strength returns the strength of a key shape in bits of a symmetric key.
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
