package fault

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"

	"certroll/spec/text"
)

// Kind is the kind of an Error, in a few fixed words. Callers may compare it, and it is
// printed.
type Kind string

// The kinds of Error.
const (
	NotFound    Kind = "repository not found"
	Denied      Kind = "authentication failed"
	HostUnknown Kind = "host key unknown"
	HostChanged Kind = "HOST KEY CHANGED"
	RefNotFound Kind = "ref not found"
	Refused     Kind = "push refused"
	Raced       Kind = "push lost every race"
	Unreachable Kind = "remote unreachable"
	TooLarge    Kind = "too large"
	Invalid     Kind = "invalid setting"
	Stopped     Kind = "stopped"
	// The kinds of a head that certroll holds back; see Held.
	Unsigned     Kind = "commit not signed"
	BadSignature Kind = "signature refused"
	Rewritten    Kind = "history rewritten"
	Failed       Kind = "failed"
)

// Error is the error type of gitsync: one sentence with the operation, the fault in the
// remote's words, and the next step for the user.
type Error struct {
	Kind   Kind
	Doing  string   // "fetching main from https://git.example.com/certs.git"
	Detail string   // the detail of the fault; may be empty
	Said   []string // the remote's own lines
	Advice string   // the next step for the user; may be empty
	Err    error    // the cause for errors.Is: an error of a context or of the operating system
	Held   *Held    // the head that is held back; nil for every other error
}

// Held is a head of the config repo that certroll fetched and did not accept. The revision
// in force stays in force.
type Held struct {
	Commit, Author string
	Old            string // Rewritten only: the commit that Commit does not descend from
}

// Error returns one line, however many lines the remote sent and however many causes there
// are. Logs and CI annotations take one line per error.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Doing)
	b.WriteString(": ")
	onlyDetail := e.Detail != "" && (e.Kind == Failed || e.Kind == Invalid) // Kind would add nothing to the detail
	if !onlyDetail {
		b.WriteString(string(e.Kind))
	}
	if e.Detail != "" {
		if !onlyDetail {
			b.WriteString(": ")
		}
		b.WriteString(text.Line(strings.ReplaceAll(strings.TrimRight(e.Detail, "\n"), "\n", "; ")))
	}
	if len(e.Said) > 0 {
		b.WriteString(`; the remote said: "`)
		b.WriteString(text.Line(strings.Join(e.Said, " / ")))
		b.WriteString(`"`)
	}
	if e.Advice != "" {
		b.WriteString("; ")
		b.WriteString(e.Advice)
	}
	return b.String()
}

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Err }

// Class returns the failure class of the error: "config" for a held head, else "git".
func (e *Error) Class() string {
	if e.Held != nil {
		return "config" // Git works; a person must review the commit
	}
	return "git"
}

// Reason returns the Kind as a string, for packages that do not import this one.
func (e *Error) Reason() string { return string(e.Kind) }

// Temporary reports whether a later try may succeed without any change by a person.
func (e *Error) Temporary() bool {
	return e.Kind == Unreachable || e.Kind == Raced || e.Kind == Stopped
}

// Is reports whether err is an Error of this kind.
func Is(err error, kind Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == kind
}

// BadSetting returns an Error of kind Invalid: a setting that cannot work.
func BadSetting(doing, detail, advice string) *Error {
	return &Error{Kind: Invalid, Doing: doing, Detail: detail, Advice: advice}
}

// OfContext returns an Error if ctx has ended, else nil.
func OfContext(ctx context.Context, doing string) *Error {
	if ctx.Err() == nil {
		return nil
	}
	detail := "it was interrupted"
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		detail = "it took longer than allowed"
	}
	return &Error{Kind: Stopped, Doing: doing, Detail: detail, Err: ctx.Err()}
}

// The bounds on a remote's words in one error. A server controls their length, and they end
// up in logs and in the ledger.
const (
	maxSaidLines = 20
	maxSaidLine  = 400
)

// Lines splits the output of a remote into lines. It drops empty lines, progress that a
// carriage return overwrote, and characters that would act on a terminal or a CI log.
func Lines(said string) []string {
	var out []string
	for _, line := range strings.Split(said, "\n") {
		if i := strings.LastIndexByte(strings.TrimRight(line, "\r"), '\r'); i >= 0 {
			line = line[i+1:] // keep the text after the last carriage return
		}
		line = text.Line(line)
		if line == "" {
			continue
		}
		if out = append(out, text.Cut(line, maxSaidLine)); len(out) == maxSaidLines {
			return out
		}
	}
	return out
}

// Reason returns the text of an operating system error without its path, which the sentence
// of an Error names already.
func Reason(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return strings.Replace(err.Error(), p.Error(), p.Err.Error(), 1)
	}
	return err.Error()
}

// DiskAdvice returns the next step for the user after an error of a local disk.
func DiskAdvice(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room on that disk"
	case errors.Is(err, syscall.EISDIR):
		return "move that directory away: a file belongs there"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EROFS),
		errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENOENT):
		return "name a directory that this user may write, or make what lies there this user's (chown)"
	}
	return "check that disk"
}
