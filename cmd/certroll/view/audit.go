package view

import (
	"io"
	"strings"
	"text/tabwriter"

	"certroll/reconcile/archive"
	"certroll/reconcile/audit"
	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

// AuditSchema is the version of the JSON of audit and audit verify.
const AuditSchema = 1

// Audit is a part of the audit log.
type Audit struct {
	Schema int            `json:"schema"`
	Events []ledger.Event `json:"events"` // oldest first, never null
}

// NewAudit builds the view of events.
func NewAudit(events []ledger.Event) Audit {
	return Audit{Schema: AuditSchema, Events: append([]ledger.Event{}, events...)}
}

// WriteAudit prints one line per event.
func WriteAudit(w io.Writer, p Palette, events []ledger.Event) {
	if len(events) == 0 {
		printer{w}.f("No event fits.\n")
		return
	}
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	out := printer{tw}
	out.f("TIME\tOPERATION\tSTATUS\tCERTIFICATE\tREASON\tWHAT\n")
	for _, e := range events {
		out.f("%s\t%s\t%s\t%s\t%s\t%s\n", text.Stamp(e.Time), e.Operation, e.Status, orDash(text.Line(e.Certificate)), orDash(string(e.Reason)), text.Line(what(e)))
	}
	_ = tw.Flush()
	printer{w}.f("\n%s.\n", p.bold(text.Counted(len(events), "event")))
}

// what describes an event, for a failure in the upstream's words.
func what(e ledger.Event) string {
	var parts []string
	add := func(s string) {
		if s != "" {
			parts = append(parts, s)
		}
	}
	switch e.Status {
	case ledger.Failed, ledger.Denied:
		add(string(e.Class) + via(e))
		if e.Failures > 1 {
			add(sprint("%d in a row", e.Failures))
		}
		add(e.Severity)
		if e.HoldUntil != nil {
			add("waits until " + text.Stamp(*e.HoldUntil))
		}
	default:
		add(strings.TrimPrefix(serials(e), ", "))
		if e.Actor != "" {
			add("by " + e.Actor)
		}
	}
	said := e.Message
	if said == "" {
		said = e.Detail
	}
	switch {
	case said == "":
		return strings.Join(parts, ", ")
	case len(parts) == 0:
		return said
	}
	return strings.Join(parts, ", ") + ": " + said
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Verified is the result of audit verify. Arrays are never null.
type Verified struct {
	Schema   int              `json:"schema"`
	InOrder  bool             `json:"in_order"`
	Events   int              `json:"events"`
	Files    int              `json:"files"`
	Commits  int              `json:"commits"`
	Head     string           `json:"head"` // "" without a branch
	Findings []archive.Breach `json:"findings"`
	More     int              `json:"more_findings"` // number of findings not listed
	Anchor   Anchor           `json:"anchor"`
}

// Anchor reports whether the ledger was compared with its checkpoint in Vault.
type Anchor struct {
	Held   bool   `json:"held"`
	Unseen string `json:"unseen"` // why it was not compared; "" if it was
}

// NewVerified builds the view of a verification.
func NewVerified(t *audit.Trail, a Anchor) Verified {
	return Verified{
		Schema: AuditSchema, InOrder: len(t.Findings) == 0, Events: t.Events, Files: t.Files, Commits: t.Commits, Head: t.Head,
		Findings: append([]archive.Breach{}, t.Findings...), More: t.More, Anchor: a,
	}
}

// WriteVerified prints each finding, then the totals.
func WriteVerified(w io.Writer, p Palette, v Verified) {
	out := printer{w}
	for _, f := range v.Findings {
		out.f("%s %s%s\n  expected  %s\n  seen      %s\n\n", p.red("Error:"), place(f), text.Line(f.Problem), text.Line(f.Expected), text.Line(f.Seen))
	}
	if v.More > 0 {
		out.f("And %s more.\n\n", text.Counted(v.More, "finding"))
	}
	sum := sprint("%s in %s, %s", text.Counted(v.Events, "event"), text.Counted(v.Files, "file"), text.Counted(v.Commits, "commit"))
	if v.Head != "" {
		sum += ", head " + v.Head
	}
	if v.Anchor.Unseen != "" {
		out.f("The checkpoint in Vault was not checked: %s.\n", text.Line(v.Anchor.Unseen))
	}
	if v.Anchor.Held {
		sum += ", compared with its checkpoint in Vault"
	}
	if v.InOrder {
		out.f("%s %s.\n", p.green("In order:"), sum)
		return
	}
	out.f("%s %s: %s.\n", p.red("Not in order:"), text.Counted(len(v.Findings)+v.More, "finding"), sum)
}

func place(f archive.Breach) string {
	var parts []string
	if f.File != "" {
		parts = append(parts, f.File)
	}
	if f.Line > 0 {
		parts = append(parts, sprint("line %d", f.Line))
	}
	if f.Commit != "" {
		parts = append(parts, "commit "+f.Commit)
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, ", ") + ": "
}
