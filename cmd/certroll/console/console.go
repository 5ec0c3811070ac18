package console

import (
	"crypto/rand"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/term"

	"certroll/cmd/certroll/view"
	"certroll/spec/text"
)

// Console is a command's input and output.
type Console struct {
	In     io.Reader
	Out    io.Writer
	Err    io.Writer
	Getenv func(string) string

	NoColor bool
	// AtTerminal: a person can answer, though In is no terminal; tests set it.
	AtTerminal bool
}

// Palette returns the colours for standard output: none unless it is a terminal.
func (c *Console) Palette() view.Palette {
	return view.Palette{On: !c.NoColor && IsTerminal(c.Out)}
}

// Asks reports whether a person can answer questions.
func (c *Console) Asks() bool {
	f, ok := c.In.(*os.File)
	if !ok {
		return c.AtTerminal
	}
	return IsTerminal(f)
}

// Progress prints each certificate's step as it changes.
func (c *Console) Progress(quiet bool) func(string, string, string) {
	return c.ProgressTo(c.Out, quiet)
}

// ProgressTo is Progress to another stream than standard output.
func (c *Console) ProgressTo(w io.Writer, quiet bool) func(string, string, string) {
	if quiet {
		return nil
	}
	var mu sync.Mutex
	start := time.Now()
	return func(certificate, step, detail string) {
		mu.Lock()
		defer mu.Unlock()
		view.WriteProgress(w, c.Palette(), time.Since(start), certificate, step, detail)
	}
}

// stream is standard output or standard error. All output passes through text.Writer, in
// case a view forgot to filter.
//
// In GitHub Actions, everything except certroll's annotations also stands between
// stop-commands tokens. Both streams share one token, because the runner has one state
// for both: either stream's token ends it. The runner reads them through two pipes in
// its own order. If lines of the streams interleave, text.Writer still protects.
type stream struct {
	raw    io.Writer
	text   *text.Writer
	fence  *fence
	fenced bool // this stream wrote the token that stops commands, and not yet the one that resumes them
}

// fence is the state that the streams of a process share.
type fence struct {
	mu    sync.Mutex
	token string // unguessable; "": no runner reads this
	used  bool
}

// Guard puts filters in front of both streams. The returned function ends open fences.
func (c *Console) Guard() (end func()) {
	f := &fence{}
	if c.Getenv("GITHUB_ACTIONS") != "" {
		// The token first appears in the command that activates it. Everything that
		// certroll prints was written by people and servers before they could see it.
		f.token = rand.Text()
	}
	out, err := newStream(c.Out, f), newStream(c.Err, f)
	c.Out, c.Err = out, err
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		out.resume()
		err.resume()
	}
}

func newStream(w io.Writer, f *fence) *stream {
	s := &stream{raw: w, text: text.NewWriter(w), fence: f}
	s.text.Colours = IsTerminal(w)
	return s
}

// Write writes text for a person.
func (s *stream) Write(p []byte) (int, error) {
	s.fence.mu.Lock()
	defer s.fence.mu.Unlock()
	if s.fence.token != "" && !s.fenced && len(p) > 0 && !isFile(s.raw) {
		s.stop()
	}
	return s.text.Write(p)
}

// stop makes the runner ignore commands.
func (s *stream) stop() {
	s.fenced, s.fence.used = true, true
	s.tell("::stop-commands::" + s.fence.token)
}

// resume lets the runner accept commands again.
func (s *stream) resume() {
	if s.fenced {
		s.fenced = false
		s.tell("::" + s.fence.token + "::")
	}
}

// tell writes a line for the runner.
func (s *stream) tell(line string) {
	if !s.text.AtStart() {
		_, _ = s.text.Write([]byte("\n"))
	}
	_, _ = io.WriteString(s.raw, line+"\n") // as with all output, a reader that went away is no error
}

// Annotations returns the writer for the runner's commands. The runner accepts them
// until the next text for a person.
func (c *Console) Annotations() io.Writer {
	out, ok := c.Out.(*stream)
	if !ok {
		return c.Out
	}
	return writerFunc(func(p []byte) (int, error) {
		out.fence.mu.Lock()
		defer out.fence.mu.Unlock()
		if err, ok := c.Err.(*stream); ok {
			err.resume()
		}
		if out.fence.used && !out.fenced {
			out.stop() // and end it at once: the runner may read the other stream's stop later
		}
		out.resume()
		out.fence.used = false
		return out.raw.Write(p)
	})
}

// Data returns the writer for JSON, Markdown and other texts for programs: filtered,
// without added lines.
func (c *Console) Data() io.Writer {
	if out, ok := c.Out.(*stream); ok {
		return out.text
	}
	return c.Out
}

// Content prints people's files unchanged. If a person or a runner reads them, it
// replaces control characters and says so.
func (c *Console) Content(b []byte) error {
	out, ok := c.Out.(*stream)
	watched := ok && !isFile(out.raw) && (IsTerminal(out.raw) || out.fence.token != "")
	switch {
	case !ok:
		_, err := c.Out.Write(b)
		return err
	case !watched:
		_, err := out.raw.Write(b)
		return err
	case text.Lines(string(b)) != string(b):
		_, _ = io.WriteString(c.Err, "Warning: the text has characters that act on a terminal or a CI log; they are replaced here. Redirect standard output to a file to get it word for word.\n")
	}
	_, err := c.Data().Write(b)
	return err
}

// Unfiltered returns the raw stream, for a pipe to another certroll that reads a
// protocol.
func Unfiltered(w io.Writer) io.Writer {
	if s, ok := w.(*stream); ok {
		return s.raw
	}
	return w
}

type writerFunc func([]byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// IsTerminal reports whether a person sees the output. /dev/null is a device but no
// terminal.
func IsTerminal(w io.Writer) bool {
	f := fileOf(w)
	return f != nil && term.IsTerminal(int(f.Fd()))
}

// Width returns the terminal's columns, from COLUMNS or the terminal; 0 if standard
// output is no terminal.
func (c *Console) Width() int {
	if n, err := strconv.Atoi(c.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if !IsTerminal(c.Out) {
		return 0
	}
	n, _, err := term.GetSize(int(fileOf(c.Out).Fd()))
	if err != nil {
		return 80
	}
	return n
}

// isFile reports whether output goes into a file, which no runner reads.
func isFile(w io.Writer) bool { return modeOf(w).IsRegular() }

// fileOf returns the file behind an output; nil if there is none.
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
