package statuspage

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

// maxTrailers bounds the certificates in a commit message.
const maxTrailers = 50

// MaxHeadline is the longest first line of a commit message, by Git's convention.
const MaxHeadline = 72

// CommitMessage returns a first line about the events and trailers with the details.
func CommitMessage(entries []ledger.Entry) string {
	subject := text.Line(CommitSubject(entries)) // a forged ledger may contain a name that no spec allows
	if len(subject) > MaxHeadline {
		subject = headline(entries)
	}
	return subject + "\n\n" + strings.Join(trailers(entries), "\n") + "\n"
}

// headline counts the events by operation and status, if their names are too long for one
// line.
func headline(entries []ledger.Entry) string {
	if len(entries) == 1 {
		return headlineOf(entries[0].Event)
	}
	byWhat, byStatus := map[string]int{}, map[string]int{}
	for _, e := range entries {
		byWhat[string(e.Event.Operation)+" "+string(e.Event.Status)]++
		byStatus[string(e.Event.Status)]++
	}
	// Counts by operation can be too long as well, with many operations at once.
	if s := counts(byWhat); len(s) <= MaxHeadline {
		return s
	}
	return counts(byStatus) // the trailers have the operations
}

// headlineOf returns the first line for one event. It shortens a long name; the trailers
// have it in full.
func headlineOf(e ledger.Event) string {
	what, came := string(e.Operation), ": "+resultOf(e)
	name := text.FirstLine(e.Certificate)
	if name == "" {
		return what + came
	}
	if room := MaxHeadline - len(what) - len(came) - 1; len(name) > room {
		name = text.Cut(name, room-len("..."))
	}
	return what + " " + name + came
}

// counts returns text such as "2 issue success, 1 renew failure".
func counts(of map[string]int) string {
	var parts []string
	for what, n := range of {
		parts = append(parts, fmt.Sprintf("%d %s", n, what))
	}
	sort.Strings(parts)
	return strings.Join(parts, ", ")
}

// CommitSubject returns the operations, certificates and results of the entries, failures
// first.
func CommitSubject(entries []ledger.Entry) string {
	type kind struct {
		operation ledger.Kind
		status    ledger.Status
		result    string
	}
	certificates := map[kind][]string{}
	for _, e := range entries {
		k := kind{e.Event.Operation, e.Event.Status, resultOf(e.Event)}
		certificates[k] = append(certificates[k], e.Event.Certificate)
	}
	kinds := slices.SortedFunc(maps.Keys(certificates), func(a, b kind) int {
		order := []ledger.Status{ledger.Failed, ledger.Denied, ledger.Held, ledger.Success}
		return cmp.Or(cmp.Compare(slices.Index(order, a.status), slices.Index(order, b.status)), cmp.Compare(a.operation, b.operation), cmp.Compare(a.result, b.result))
	})
	parts := make([]string, 0, len(kinds))
	for _, k := range kinds {
		named := slices.Compact(slices.Sorted(slices.Values(certificates[k])))
		// Events about a revision or a pass name no certificate.
		named = slices.DeleteFunc(named, func(name string) bool { return name == "" })
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s %s", k.operation, text.Some(named, 3)))+": "+k.result)
	}
	return strings.Join(parts, "; ")
}

// ledgerNotes are the results of notes about the ledger itself, by reason. Such a note names
// no certificate, so that its status alone would say nothing.
var ledgerNotes = map[ledger.Reason]string{
	ledger.ReasonAttempt:  "this machine can write the ledger",
	ledger.ReasonRewound:  "the ledger was rewritten",
	ledger.ReasonDamaged:  "a part of the ledger cannot be read",
	ledger.ReasonAccepted: "the loss of commits is accepted",
}

// resultOf returns the words for the outcome of an event.
func resultOf(e ledger.Event) string {
	if words := ledgerNotes[e.Reason]; words != "" && e.Operation == ledger.KindNote && e.Certificate == "" {
		return words
	}
	return string(e.Status)
}

// trailers returns the Git trailers of a commit, without duplicates. git log can search them,
// and they stay valid when the first line is shortened.
func trailers(entries []ledger.Entry) []string {
	var ts []string
	add := func(key, value string) {
		if t := key + ": " + text.FirstLine(value); value != "" && !slices.Contains(ts, t) {
			ts = append(ts, t)
		}
	}
	for i, e := range entries {
		add("Operation", string(e.Event.Operation))
		if i < maxTrailers {
			add("Certificate", e.Event.Certificate)
		}
		add("Revision", e.Event.Revision)
		add("Reason", string(e.Event.Reason))
	}
	sort.SliceStable(ts, func(i, j int) bool { return trailerRank(ts[i]) < trailerRank(ts[j]) })
	return ts
}

// trailerRank returns the place of a trailer in the message.
func trailerRank(t string) int {
	key, _, _ := strings.Cut(t, ":")
	return slices.Index([]string{"Operation", "Certificate", "Revision", "Reason"}, key)
}
