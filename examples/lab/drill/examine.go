package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"certroll/examples/lab"
)

// event is the part of an audit log line that the drill reads (docs/ledger.md).
type event struct {
	ID          string `json:"id"`
	Certificate string `json:"certificate"`
	Operation   string `json:"operation"`
	Status      string `json:"status"`
	Class       string `json:"class"`
	NewSerial   string `json:"new_serial"`
	Version     int    `json:"vault_version"`
	OrderURL    string `json:"order_url"`
}

// issued reports whether the event records a new live certificate.
func (e event) issued() bool { return e.Status == "success" && e.OrderURL != "" }

// events returns the ledger's events, the oldest first; none if there is no ledger.
func (s *site) events(ctx context.Context) ([]event, error) {
	refs, err := lab.Git(ctx, s.repo, "for-each-ref", "refs/heads/"+ledger)
	if err != nil || refs == "" {
		return nil, err
	}
	files, err := lab.Git(ctx, s.repo, "ls-tree", "-r", "--name-only", ledger, "audit/")
	if err != nil {
		return nil, err
	}
	var events []event
	for _, file := range strings.Fields(files) {
		text, err := lab.Show(ctx, s.repo, ledger, file)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(text) {
			var e event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				return nil, fmt.Errorf("reading the line %q of %s in the ledger: %w", line, file, err)
			}
			events = append(events, e)
		}
	}
	return events, nil
}

// history is a summary of the events.
type history struct {
	successes int
	failures  map[string]int  // by class
	finished  map[string]bool // the orders of the successes
	versions  map[string]int  // by certificate, the latest version
	repeated  []string        // events, orders and serials that occur twice
	gaps      []string        // versions that do not follow their predecessor
}

func readHistory(events []event) history {
	h := history{failures: map[string]int{}, finished: map[string]bool{}, versions: map[string]int{}}
	seen := map[string]bool{}
	once := func(what string) {
		if seen[what] {
			h.repeated = append(h.repeated, what)
		}
		seen[what] = true
	}
	for _, e := range events {
		once("event " + e.ID)
		if e.Status == "failure" {
			h.failures[e.Class]++
		}
		if !e.issued() {
			continue
		}
		h.successes++
		once("success of order " + e.OrderURL)
		once("success of " + e.Certificate + " with serial " + e.NewSerial)
		h.finished[e.OrderURL] = true
		if want := h.versions[e.Certificate] + 1; e.Version != want {
			h.gaps = append(h.gaps, fmt.Sprintf("%s: version %d is recorded where %d should follow", e.Certificate, e.Version, want))
		}
		h.versions[e.Certificate] = e.Version
	}
	return h
}

// told formats the failures by class.
func (h history) told() string {
	var words []string
	for class, n := range h.failures {
		words = append(words, fmt.Sprintf("%d %s", n, class))
	}
	slices.Sort(words)
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

// complete reports whether each certificate has this many successes.
func (s *site) complete(ctx context.Context, each int) (bool, error) {
	events, err := s.events(ctx)
	if err != nil {
		return false, err
	}
	n := map[string]int{}
	for _, e := range events {
		if e.issued() {
			n[e.Certificate]++
		}
	}
	for _, name := range s.names() {
		if n[name] < each {
			return false, nil
		}
	}
	return true, nil
}

// metadata is Vault's metadata of a secret.
type metadata struct {
	Version int               `json:"current_version"`
	Custom  map[string]string `json:"custom_metadata"`
}

func (s *site) metadata(ctx context.Context, path string) (metadata, error) {
	var out struct{ Data metadata }
	err := s.vault.API(ctx, http.MethodGet, "secret/metadata/"+path, nil, &out)
	return out.Data, err
}

// expired returns the certificates in Vault past their notAfter.
func (s *site) expired(ctx context.Context, now time.Time) (names []string, err error) {
	for _, name := range s.names() {
		m, err := s.metadata(ctx, "tls/"+name)
		if err != nil {
			return nil, err
		}
		end, err := time.Parse(time.RFC3339, m.Custom["not_after"])
		if err != nil {
			return nil, fmt.Errorf("reading not_after of %s in Vault: %w", name, err)
		}
		if now.After(end) {
			names = append(names, fmt.Sprintf("%s at %s", name, now.UTC().Format(time.TimeOnly)))
		}
	}
	return names, nil
}

// pending returns the pending secrets. Every finished attempt removes its own, so there
// should be none.
func (s *site) pending(ctx context.Context) ([]string, error) {
	var out struct {
		Data struct{ Keys []string }
	}
	err := s.vault.API(ctx, "LIST", "secret/metadata/certroll/pending", nil, &out)
	if err != nil && strings.Contains(err.Error(), "404") {
		return nil, nil // Vault answers "not found" for an empty list
	}
	return out.Data.Keys, err
}

// badPairs returns the secrets whose certificate and key do not work together, or whose
// version in Vault differs from the last recorded one.
func (s *site) badPairs(ctx context.Context, versions map[string]int) (bad []string, err error) {
	roots, err := s.pebble.Roots(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range s.names() {
		var out struct {
			Data struct {
				Data     map[string]string
				Metadata struct{ Version int }
			}
		}
		if err := s.vault.API(ctx, http.MethodGet, "secret/data/tls/"+name, nil, &out); err != nil {
			return nil, err
		}
		fields := out.Data.Data
		if _, err := lab.CheckPair(fields["fullchain"], fields["private_key"], roots, host(name)); err != nil {
			bad = append(bad, name+": "+err.Error())
		}
		if got := out.Data.Metadata.Version; got != versions[name] {
			bad = append(bad, fmt.Sprintf("%s: Vault has version %d, the ledger %d", name, got, versions[name]))
		}
	}
	return bad, nil
}

// examine checks everything that must be in order when certroll is idle, and adds it to
// the report.
func (m *machine) examine(ctx context.Context, r *report) error {
	events, err := m.events(ctx)
	if err != nil {
		return err
	}
	h := readHistory(events)
	v := m.judge(h.finished)
	r.figure("orders that the CA made", "%d", v.orders)
	r.figure("certificates issued, by the audit log", "%d", h.successes)
	r.figure("orders that only the CA knew, after a kill or cut", "%d", v.unknown)
	if v.late > 0 {
		r.figure("orders stored after another had taken over", "%d", v.late)
	}
	r.none("lost orders", v.lost)
	r.none("doubled orders", v.doubled)
	if sum := h.successes + v.unknown + v.late + len(v.lost) + len(v.doubled); sum != v.orders {
		r.fail("%d orders, but %d are accounted for", v.orders, sum)
	}
	r.none("events, orders or serials recorded twice", h.repeated)
	r.none("versions in Vault that are not recorded", h.gaps)
	r.figure("failures in the audit log, by class", "%s", h.told())
	bad, err := m.badPairs(ctx, h.versions)
	if err != nil {
		return err
	}
	r.none("secrets that do not verify", bad)
	return m.leftovers(ctx, r)
}

// leftovers checks for remains of attempts that did not clean up.
func (m *machine) leftovers(ctx context.Context, r *report) error {
	pending, err := m.pending(ctx)
	if err != nil {
		return err
	}
	r.none("pending secrets at the end", pending)
	r.none("challenge TXT records at the end", m.dns.Challenges())
	r.none("DNS processes at the end", processesOf(m.child))
	code, out, err := m.ends(ctx, 2*time.Minute, "audit", "verify", "-anchor")
	if err != nil {
		return err
	}
	r.figure("exit code of audit verify --anchor", "%d", code)
	if code != 0 {
		r.fail("audit verify --anchor exits %d:\n%s", code, end(out))
	}
	return nil
}
