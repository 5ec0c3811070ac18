package premises

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/wiring"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/redact"
)

// Premises checks the conditions of an apply other than the CA and the DNS: the token's
// capabilities, the ledger, references, destinations, clocks and the disk. It writes
// only a test file into the state directory, and removes it.
type Premises struct {
	*wiring.Parts
	s       *settings.Settings
	redact  *redact.Redactor // learns the credentials that are read
	desired *spec.Spec
	only    []string // certificates; empty: all
	found   []ledger.Finding
}

// New makes the checks for these certificates; empty: all.
func New(p *wiring.Parts, s *settings.Settings, r *redact.Redactor, desired *spec.Spec, only []string) *Premises {
	return &Premises{Parts: p, s: s, redact: r, desired: desired, only: only}
}

const (
	// premiseTimeout bounds each check.
	premiseTimeout = 30 * time.Second
	// skewWarns and skewFails bound the difference between clocks. Two certrolls on one
	// ledger lose leases by clock skew, and a CA rejects what is not yet valid.
	skewWarns = 30 * time.Second
	skewFails = 10 * time.Minute
	// spaceWarns and spaceFails bound the free space for the state directory, in bytes.
	spaceWarns = 100 << 20
	spaceFails = 10 << 20
)

// Check runs all checks.
func (p *Premises) Check(ctx context.Context) []ledger.Finding {
	for _, one := range []func(context.Context){p.capabilities, p.ledgerTakes, p.references, p.destinations, p.clocks, p.disk} {
		bounded, cancel := context.WithTimeout(ctx, premiseTimeout)
		one(bounded)
		cancel()
	}
	return p.found
}

func (p *Premises) note(severity ledger.Severity, class ledger.Class, about, message, advice string, certificates ...string) {
	p.found = append(p.found, ledger.Finding{
		Severity: severity, Class: class, About: about, Message: message, Advice: advice,
		Certificates: append([]string{}, certificates...), Names: []string{},
	})
}

// certificates returns the certificates to check.
func (p *Premises) certificates() []*spec.Certificate {
	return slices.DeleteFunc(slices.Clone(p.desired.Certificates), func(c *spec.Certificate) bool {
		return len(p.only) > 0 && !slices.Contains(p.only, c.Name)
	})
}

// need is one path of Vault's API with the capabilities that it requires.
type need struct {
	path, what   string
	capabilities []string
	certificate  string // the certificate's name; "" for certroll's own state
}

// needs returns the paths that an apply writes.
func (p *Premises) needs() []need {
	var list []need
	for _, c := range p.certificates() {
		at := c.Vault.Path
		data := []string{"create", "read", "update"}
		if c.OnRemove != spec.Keep {
			data = append(data, "delete")
		}
		list = append(list,
			need{c.Vault.Mount + "/data/" + at, "the secret of certificate " + c.Name, data, c.Name},
			need{c.Vault.Mount + "/metadata/" + at, "the metadata of certificate " + c.Name, []string{"create", "read", "update"}, c.Name})
	}
	for _, part := range []string{"accounts", "pending", "staged", "replaced", "anchor"} {
		below := p.s.Vault.Prefix + "/" + part + "/any"
		list = append(list,
			need{p.s.Vault.Mount + "/data/" + below, "certroll's own state", []string{"create", "read", "update"}, ""},
			need{p.s.Vault.Mount + "/metadata/" + below, "certroll's own state", []string{"create", "read", "update", "delete"}, ""})
	}
	return append(list, need{p.s.Vault.Mount + "/data/" + p.s.Vault.Prefix + "/lease", "the lease", []string{"create", "read", "update"}, ""})
}

// capabilities asks Vault for the token's capabilities on each path that an apply
// writes.
func (p *Premises) capabilities(ctx context.Context) {
	needs := p.needs()
	paths := make([]string, len(needs))
	for i, n := range needs {
		paths[i] = n.path
	}
	have, err := p.Client.Capabilities(ctx, paths)
	if err != nil {
		p.note(ledger.SeverityWarning, ledger.ClassVault, "sys/capabilities-self", "could not check the rights of the token: "+err.Error(), "")
		return
	}
	may := func(n need) (lacks []string) {
		has := have[n.path]
		if slices.Contains(has, "root") {
			return nil
		}
		return slices.DeleteFunc(slices.Clone(n.capabilities), func(c string) bool { return slices.Contains(has, c) })
	}
	if !slices.ContainsFunc(needs, func(n need) bool { return !slices.Contains(may(n), "update") }) {
		p.note(ledger.SeverityWarning, ledger.ClassVault, "the Vault token", "it may not write anything that an apply writes, so it is not the token of apply or run: the rights of that token were not checked",
			"run certroll doctor with the login of certroll apply or run (examples/vault-policies/apply.hcl)")
		return
	}
	for _, n := range needs {
		lacks := may(n)
		if len(lacks) == 0 {
			continue
		}
		var who []string
		if n.certificate != "" {
			who = []string{n.certificate}
		}
		p.note(ledger.SeverityError, ledger.ClassVault, n.path, fmt.Sprintf("the token may not %s %s", strings.Join(lacks, ", "), n.what),
			fmt.Sprintf("add to its policy:  path %q { capabilities = [%s] }", n.path, `"`+strings.Join(n.capabilities, `", "`)+`"`), who...)
	}
}

// ledgerTakes checks the right to push, without pushing.
func (p *Premises) ledgerTakes(ctx context.Context) {
	if err := p.Parts.Ledger.CheckPush(ctx); err != nil {
		p.note(ledger.SeverityError, ledger.ClassGit, "the ledger", err.Error(), "apply orders nothing while it cannot write the ledger; give its key or token the right to push")
	}
}

// references reads the references of the issuers in use. The canaries test the
// credentials of DNS accounts.
func (p *Premises) references(ctx context.Context) {
	used := map[string][]string{}
	for _, c := range p.certificates() {
		for _, name := range append([]string{c.Issuer}, c.Fallbacks...) {
			used[name] = append(used[name], c.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		i := p.desired.Issuers[name]
		if i == nil || i.EAB == nil {
			continue
		}
		for _, v := range []spec.Value{i.EAB.KeyID, i.EAB.HMAC} {
			text, err := p.Parts.References.Follow(ctx, p.KV, v)
			p.redact.Learn(text)
			if err != nil {
				p.note(ledger.SeverityError, ledger.ClassConfig, "issuer."+name, "its account binding (eab) cannot be read: "+err.Error(), "", used[name]...)
			}
		}
	}
}

// destinations checks that each destination's secret can be read.
func (p *Premises) destinations(context.Context) {
	for _, n := range p.s.Notify {
		var err error
		if n.Webhook != "" {
			_, err = settings.SecretLines("the secret of its webhook", n.SecretEnv, n.SecretFile)
		} else {
			_, err = settings.SecretLines("the URL of its service", n.ServiceEnv, n.ServiceFile)
		}
		if err != nil {
			p.note(ledger.SeverityError, ledger.ClassConfig, "notify "+n.Name, err.Error(), "certroll cannot send its messages; try it with certroll notify test "+n.Name)
		}
	}
}

// clocks compares this machine's clock with those of Vault and the CAs.
func (p *Premises) clocks(ctx context.Context) {
	compare := func(whose string, date time.Time, err error, class ledger.Class) {
		if err != nil {
			p.note(ledger.SeverityWarning, class, "the clock of "+whose, "could not read its time: "+err.Error(), "")
			return
		}
		skew := time.Until(date)
		if date.IsZero() || skew.Abs() < skewWarns {
			return
		}
		severity := ledger.SeverityWarning
		if skew.Abs() >= skewFails {
			severity = ledger.SeverityError
		}
		way := "behind"
		if skew < 0 {
			way = "ahead of"
		}
		p.note(severity, ledger.ClassInternal, "the clock of "+whose, fmt.Sprintf("this machine's clock is %s %s it", skew.Abs().Round(time.Second), way),
			"synchronize the clocks (NTP): leases, validity and renewals depend on them")
	}
	date, err := p.Client.Date(ctx, p.s.Vault.Mount)
	compare("Vault", date, err, ledger.ClassVault)
	asked := map[string]bool{}
	for _, c := range p.certificates() {
		i := p.desired.Issuers[c.Issuer]
		if i == nil || asked[i.Directory] {
			continue
		}
		asked[i.Directory] = true
		date, err := p.ACME.Date(ctx, i)
		if err == nil { // other checks report an unreachable CA
			compare("issuer."+i.Name, date, nil, ledger.ClassCAUnavailable)
		}
	}
}

// disk checks the state directory, or the nearest existing parent.
func (p *Premises) disk(context.Context) {
	dir := p.s.StateDir
	if dir == "" {
		return
	}
	there := dir
	for {
		info, err := os.Stat(there)
		if err == nil && info.IsDir() {
			break
		}
		up := filepath.Dir(there)
		if err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil || up == there {
			p.note(ledger.SeverityError, ledger.ClassInternal, "state_dir", fmt.Sprintf("%s cannot be a directory: %v", dir, cmp.Or(err, errors.New(there+" is a file"))), "set state_dir in certroll.hcl to a directory that certroll's user may write")
			return
		}
		there = up
	}
	f, err := os.CreateTemp(there, ".certroll-doctor-*")
	if err == nil {
		_, err = f.Write(make([]byte, 64<<10))
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		p.note(ledger.SeverityError, ledger.ClassInternal, "state_dir", fmt.Sprintf("%s cannot be written: %v", dir, err), "free disk space, or allow certroll's user to write there")
		return
	}
	free, ok := freeSpace(there)
	if !ok || free >= spaceWarns {
		return
	}
	severity := ledger.SeverityWarning
	if free < spaceFails {
		severity = ledger.SeverityError
	}
	p.note(severity, ledger.ClassInternal, "state_dir", fmt.Sprintf("the disk of %s has %d MiB left", dir, free>>20), "free disk space: the journal and the Git caches are there")
}
