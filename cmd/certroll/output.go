package main

import (
	"crypto/rand"
	"io"
	"os"
	"strconv"
	"sync"

	"golang.org/x/term"

	"certroll/spec/text"
)

// stream is standard output or standard error. All that is written to it goes
// through text.Writer, whoever wrote it: a view may have forgotten to.
//
// Where GitHub Actions reads it, what is no annotation of ours also stands
// between the runner's stop-commands tokens. The two streams share one token: a
// runner has one state for both, so that a token of either ends it. It reads
// them by two pipes in an order of its own; text.Writer is what holds where a
// line of one stream comes between those of the other.
type stream struct {
	raw    io.Writer
	text   *text.Writer
	fence  *fence
	fenced bool // the token that stops commands was written, and not the one that ends that
}

// fence is the state that the streams of a process share.
type fence struct {
	mu    sync.Mutex
	token string // nobody can guess it; "": no runner reads this
	used  bool
}

// guard puts filters in front of both streams. What it returns ends what is
// open in them.
func (a *app) guard() (end func()) {
	f := &fence{}
	if a.getenv("GITHUB_ACTIONS") != "" {
		// It is told to nobody before it is in force, and by nothing but the
		// command that puts it in force: what certroll prints was written
		// by people and servers before they can have seen it.
		f.token = rand.Text()
	}
	out, err := newStream(a.out, f), newStream(a.err, f)
	a.out, a.err = out, err
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		out.resume()
		err.resume()
	}
}

func newStream(w io.Writer, f *fence) *stream {
	s := &stream{raw: w, text: text.NewWriter(w), fence: f}
	s.text.Colours = isTerminal(w)
	return s
}

// Write writes what a person reads.
func (s *stream) Write(p []byte) (int, error) {
	s.fence.mu.Lock()
	defer s.fence.mu.Unlock()
	if s.fence.token != "" && !s.fenced && len(p) > 0 && !isFile(s.raw) {
		s.stop()
	}
	return s.text.Write(p)
}

// stop has the runner take no commands.
func (s *stream) stop() {
	s.fenced, s.fence.used = true, true
	s.tell("::stop-commands::" + s.fence.token)
}

// resume lets the runner take commands again.
func (s *stream) resume() {
	if s.fenced {
		s.fenced = false
		s.tell("::" + s.fence.token + "::")
	}
}

// tell writes a line of ours that the runner is to read.
func (s *stream) tell(line string) {
	if !s.text.AtStart() {
		_, _ = s.text.Write([]byte("\n"))
	}
	_, _ = io.WriteString(s.raw, line+"\n") // as for all output: a reader that went away is no error of its own
}

// annotations is where commands for the runner go, which it takes from here on
// until a person is written to again.
func (a *app) annotations() io.Writer {
	out, ok := a.out.(*stream)
	if !ok {
		return a.out
	}
	return writerFunc(func(p []byte) (int, error) {
		out.fence.mu.Lock()
		defer out.fence.mu.Unlock()
		if err, ok := a.err.(*stream); ok {
			err.resume()
		}
		if out.fence.used && !out.fenced {
			out.stop() // and at once no more: what the other stream stopped may be read late
		}
		out.resume()
		out.fence.used = false
		return out.raw.Write(p)
	})
}

// data is where JSON, Markdown and other texts for programs go: filtered, and
// without a line that is not theirs.
func (a *app) data() io.Writer {
	if out, ok := a.out.(*stream); ok {
		return out.text
	}
	return a.out
}

// content prints files of people word for word. Where it is a person or a
// runner who reads them, what would act on either is replaced, and that is said.
func (a *app) content(b []byte) error {
	out, ok := a.out.(*stream)
	watched := ok && !isFile(out.raw) && (isTerminal(out.raw) || out.fence.token != "")
	switch {
	case !ok:
		_, err := a.out.Write(b)
		return err
	case !watched:
		_, err := out.raw.Write(b)
		return err
	case text.Lines(string(b)) != string(b):
		_, _ = io.WriteString(a.err, "Warning: the text has characters that act on a terminal or a CI log; they are replaced here. Redirect standard output to a file to get it word for word.\n")
	}
	_, err := a.data().Write(b)
	return err
}

// unfiltered is the pipe to another certroll, which reads a protocol from it.
func unfiltered(w io.Writer) io.Writer {
	if s, ok := w.(*stream); ok {
		return s.raw
	}
	return w
}

type writerFunc func([]byte) (int, error)

// Write calls the function.
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// isTerminal reports whether a person sees what is written; /dev/null is a device too,
// and no terminal.
func isTerminal(w io.Writer) bool {
	f := fileOf(w)
	return f != nil && term.IsTerminal(int(f.Fd()))
}

// width is how many columns the terminal has, by COLUMNS or as it says itself; 0:
// what is printed goes to no terminal.
func (a *app) width() int {
	if n, err := strconv.Atoi(a.getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if !isTerminal(a.out) {
		return 0
	}
	n, _, err := term.GetSize(int(fileOf(a.out).Fd()))
	if err != nil {
		return 80
	}
	return n
}

// isFile reports whether output goes into a file, which no runner reads.
func isFile(w io.Writer) bool { return modeOf(w).IsRegular() }

// fileOf is the file that output goes into; nil where it goes into none.
func fileOf(w io.Writer) *os.File {
	if s, ok := w.(*stream); ok {
		w = s.raw
	}
	f, _ := w.(*os.File)
	return f
}

func modeOf(w io.Writer) os.FileMode {
	f := fileOf(w)
	if f == nil {
		return os.ModeIrregular
	}
	info, err := f.Stat()
	if err != nil {
		return os.ModeIrregular
	}
	return info.Mode()
}
