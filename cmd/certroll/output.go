package main

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

// console is what a command reads from and prints to.
type console struct {
	in     io.Reader
	out    io.Writer
	err    io.Writer
	getenv func(string) string

	noColor bool
	// atTerminal: whoever is asked is there, though in is no terminal; tests set it.
	atTerminal bool
}

// palette colours what goes to a terminal.
func (c *console) palette() view.Palette {
	return view.Palette{On: !c.noColor && isTerminal(c.out)}
}

// asks tells whether there is a person to ask.
func (c *console) asks() bool {
	f, ok := c.in.(*os.File)
	if !ok {
		return c.atTerminal
	}
	return isTerminal(f)
}

// progress prints what each certificate waits for, as it changes.
func (c *console) progress(quiet bool) func(string, string, string) {
	return c.progressTo(c.out, quiet)
}

func (c *console) progressTo(w io.Writer, quiet bool) func(string, string, string) {
	if quiet {
		return nil
	}
	var mu sync.Mutex
	start := time.Now()
	return func(certificate, step, detail string) {
		mu.Lock()
		defer mu.Unlock()
		view.WriteProgress(w, c.palette(), time.Since(start), certificate, step, detail)
	}
}

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
func (c *console) guard() (end func()) {
	f := &fence{}
	if c.getenv("GITHUB_ACTIONS") != "" {
		// It is told to nobody before it is in force, and by nothing but the
		// command that puts it in force: what certroll prints was written
		// by people and servers before they can have seen it.
		f.token = rand.Text()
	}
	out, err := newStream(c.out, f), newStream(c.err, f)
	c.out, c.err = out, err
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
func (c *console) annotations() io.Writer {
	out, ok := c.out.(*stream)
	if !ok {
		return c.out
	}
	return writerFunc(func(p []byte) (int, error) {
		out.fence.mu.Lock()
		defer out.fence.mu.Unlock()
		if err, ok := c.err.(*stream); ok {
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
func (c *console) data() io.Writer {
	if out, ok := c.out.(*stream); ok {
		return out.text
	}
	return c.out
}

// content prints files of people word for word. Where it is a person or a
// runner who reads them, what would act on either is replaced, and that is said.
func (c *console) content(b []byte) error {
	out, ok := c.out.(*stream)
	watched := ok && !isFile(out.raw) && (isTerminal(out.raw) || out.fence.token != "")
	switch {
	case !ok:
		_, err := c.out.Write(b)
		return err
	case !watched:
		_, err := out.raw.Write(b)
		return err
	case text.Lines(string(b)) != string(b):
		_, _ = io.WriteString(c.err, "Warning: the text has characters that act on a terminal or a CI log; they are replaced here. Redirect standard output to a file to get it word for word.\n")
	}
	_, err := c.data().Write(b)
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
func (c *console) width() int {
	if n, err := strconv.Atoi(c.getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if !isTerminal(c.out) {
		return 0
	}
	n, _, err := term.GetSize(int(fileOf(c.out).Fd()))
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
