package fault

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"

	"certroll/spec/text"
)

// Kind is what went wrong, in a few words that do not change.
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
	// The kinds of a head that is held back; see Held.
	Unsigned     Kind = "commit not signed"
	BadSignature Kind = "signature refused"
	Rewritten    Kind = "history rewritten"
	Failed       Kind = "failed"
)

// Error is every error of gitsync: a sentence that says what was being
// done, what went wrong in the remote's words, and what to do next.
type Error struct {
	Kind   Kind
	Doing  string   // "fetching main from https://git.example.com/certs.git"
	Detail string   // what happened; may be empty
	Said   []string // the remote's own lines
	Advice string   // what to do next; may be empty
	Err    error    // the cause where it can be matched: a context's or the operating system's
	Held   *Held    // of a head that is held back; nil: it is about something else
}

// Held is a head of the config repo that was fetched and is not taken: the
// revision that was in force before stays so.
type Held struct {
	Commit, Author string
	Old            string // Rewritten: the commit that it does not descend from
}

// Error is one line, whatever the remote said and however many causes there
// are.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Doing)
	b.WriteString(": ")
	told := e.Detail != "" && (e.Kind == Failed || e.Kind == Invalid) // the detail says so
	if !told {
		b.WriteString(string(e.Kind))
	}
	if e.Detail != "" {
		if !told {
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

// Unwrap gives errors.Is and errors.As the cause.
func (e *Error) Unwrap() error { return e.Err }

// Class tells the core which of its neighbours failed.
func (e *Error) Class() string {
	if e.Held != nil {
		return "config" // Git works: somebody has to look at the commit
	}
	return "git"
}

// Reason is the Kind as text, for those who do not import this package.
func (e *Error) Reason() string { return string(e.Kind) }

// Temporary reports whether trying again later may help without anybody
// doing anything.
func (e *Error) Temporary() bool {
	return e.Kind == Unreachable || e.Kind == Raced || e.Kind == Stopped
}

// Is reports whether err is an Error of this kind.
func Is(err error, kind Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == kind
}

// BadSetting is a setting that cannot work.
func BadSetting(doing, detail, advice string) *Error {
	return &Error{Kind: Invalid, Doing: doing, Detail: detail, Advice: advice}
}

// OfContext turns the end of ctx into an error; nil where ctx goes on.
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

// maxSaid bounds what is kept of a remote's words.
const (
	maxSaidLines = 20
	maxSaidLine  = 400
)

// Lines splits what a remote said, without empty lines, progress that was
// overwritten, and characters that would act on a terminal or a CI log.
func Lines(said string) []string {
	var out []string
	for _, line := range strings.Split(said, "\n") {
		if i := strings.LastIndexByte(strings.TrimRight(line, "\r"), '\r'); i >= 0 {
			line = line[i+1:]
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

// Reason is an operating system error without the path that the sentence has.
func Reason(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return strings.Replace(err.Error(), p.Error(), p.Err.Error(), 1)
	}
	return err.Error()
}

// DiskAdvice is what to do about an error of a local disk.
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
