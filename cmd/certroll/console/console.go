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

// Console is what a command reads from and prints to.
type Console struct {
	In     io.Reader
	Out    io.Writer
	Err    io.Writer
	Getenv func(string) string

	NoColor bool
	// AtTerminal: whoever is asked is there, though in is no terminal; tests set it.
	AtTerminal bool
}

// Palette colours what goes to a terminal.
func (c *Console) Palette() view.Palette {
	return view.Palette{On: !c.NoColor && IsTerminal(c.Out)}
}

// Asks tells whether there is a person to ask.
func (c *Console) Asks() bool {
	f, ok := c.In.(*os.File)
	if !ok {
		return c.AtTerminal
	}
	return IsTerminal(f)
}

// Progress prints what each certificate waits for, as it changes.
func (c *Console) Progress(quiet bool) func(string, string, string) {
	return c.ProgressTo(c.Out, quiet)
}

// ProgressTo prints the same to another stream than standard output.
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

// Guard puts filters in front of both streams. What it returns ends what is
// open in them.
func (c *Console) Guard() (end func()) {
	f := &fence{}
	if c.Getenv("GITHUB_ACTIONS") != "" {
		// It is told to nobody before it is in force, and by nothing but the
		// command that puts it in force: what certroll prints was written
		// by people and servers before they can have seen it.
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

// Annotations is where commands for the runner go, which it takes from here on
// until a person is written to again.
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
			out.stop() // and at once no more: what the other stream stopped may be read late
		}
		out.resume()
		out.fence.used = false
		return out.raw.Write(p)
	})
}

// Data is where JSON, Markdown and other texts for programs go: filtered, and
// without a line that is not theirs.
func (c *Console) Data() io.Writer {
	if out, ok := c.Out.(*stream); ok {
		return out.text
	}
	return c.Out
}

// Content prints files of people word for word. Where it is a person or a
// runner who reads them, what would act on either is replaced, and that is said.
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

// Unfiltered is the pipe to another certroll, which reads a protocol from it.
func Unfiltered(w io.Writer) io.Writer {
	if s, ok := w.(*stream); ok {
		return s.raw
	}
	return w
}

type writerFunc func([]byte) (int, error)

// Write calls the function.
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// IsTerminal reports whether a person sees what is written; /dev/null is a device too,
// and no terminal.
func IsTerminal(w io.Writer) bool {
	f := fileOf(w)
	return f != nil && term.IsTerminal(int(f.Fd()))
}

// Width is how many columns the terminal has, by COLUMNS or as it says itself; 0:
// what is printed goes to no terminal.
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
