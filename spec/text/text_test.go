package text_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"certroll/spec/text"
)

func TestLine(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "Ann <ann@example.com>", "Ann <ann@example.com>"},
		{"other scripts stay", "Zoë, Олег, 花子, אבא", "Zoë, Олег, 花子, אבא"},
		{"emoji with a variation selector", "❤\uFE0F ok", "❤\uFE0F ok"},
		{"line breaks", "one\r\ntwo\nthree\u2028four\u2029five\vsix\u0085seven", "one two three four five six seven"},
		{"escape sequence", "\x1b[2J\x1b[31mred", "[2J [31mred"},
		{"eight-bit control", "a\u009b31mb", "a 31mb"},
		{"direction", "a\u202Egpj.exe\u2066b\u061C", "a\uFFFDgpj.exe\uFFFDb\uFFFD"},
		{"no width", "a\u200Bb\uFEFFc\u00ADd\U000E0041", "a\uFFFDb\uFFFDc\uFFFDd\uFFFD"},
		{"fillers and private use", "a\u3164b\uE000c\uFFFFd", "a\uFFFDb\uFFFDc\uFFFDd"},
		{"no UTF-8", "a\xffb\xc0\x80", "a\uFFFDb\uFFFD\uFFFD"},
		{"command of GitHub", "::error::x", ":∶error::x"},
		{"command behind blanks", " \t\u00a0::stop-commands::x", ":∶stop-commands::x"},
		{"command within a line is none", "a ::error::x", "a ::error::x"},
		{"command behind a break is none", "a\n::error::x", "a ::error::x"},
		{"many colons", "::::", ":∶::"},
		{"loopback", "dialing [::1]:443", "dialing [::1]:443"},
		{"old command, anywhere", "x ##[stop-commands]y", "x ##⟦stop-commands]y"},
		{"old command behind more hashes", "####[error]", "####⟦error]"},
		{"Azure Pipelines", "x ##vso[task.setvariable variable=a]b", "x ##vso⟦task.setvariable variable=a]b"},
		{"TeamCity", "##teamcity[message text='x']", "##teamcity⟦message text='x']"},
		{"old command with a selector in it", "#\uFE0F#\uFE0E[error]", "#\uFE0F#\uFE0E⟦error]"},
		{"one hash", "#[x] a#b[1] #1 [2]", "#[x] a#b[1] #1 [2]"},
		{"heading", "## a [link]", "## a [link]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := text.Line(c.in); got != c.want {
				t.Errorf("Line(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func TestLines(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"breaks and tabs stay", "a\n\tb\n", "a\n\tb\n"},
		{"breaks of another system", "a\r\nb", "a\nb"},
		{"an overwritten line", "good\rbad", "good\uFFFDbad"},
		{"separators", "a\u2028b\u2029c", "a\uFFFDb\uFFFDc"},
		{"commands on each line", "::a\n  ::b\nc ::d\n\u3000::e", ":∶a\n  :∶b\nc ::d\n\u3000:∶e"},
		{"a hash on the line before", "##\n[error]", "##\n[error]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := text.Lines(c.in); got != c.want {
				t.Errorf("Lines(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	for _, s := range []string{"Ann <ann@example.com>", "a\u202Eb\u2028c\U000E0041d\x7f\u009b", "##[error]", "##vso[x]", "\x00\x1b\t", "::error::"} {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if err := e.Encode(map[string]string{"text": s}); err != nil {
			t.Fatal(err)
		}
		got := text.JSON(b.Bytes())
		mustBeInert(t, string(got))
		var back map[string]string
		if err := json.Unmarshal(got, &back); err != nil {
			t.Fatalf("%q came out as %q: %v", s, got, err)
		}
		if back["text"] != s {
			t.Errorf("%q came back as %q", s, back["text"])
		}
	}
}

func TestWriterPassesItsOwnColoursAlone(t *testing.T) {
	var b bytes.Buffer
	w := text.NewWriter(&b)
	w.Colours = true
	write(t, w, "\x1b[31mError:\x1b[0m \x1b]8;;http://x\a \x1b[2J \x1b[31;1H")
	if want := "\x1b[31mError:\x1b[0m \uFFFD]8;;http://x\uFFFD \uFFFD[2J \uFFFD[31;1H"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
	b.Reset()
	write(t, text.NewWriter(&b), "\x1b[31mError:\x1b[0m")
	if want := "\uFFFD[31mError:\uFFFD[0m"; b.String() != want {
		t.Errorf("without colours: got %q, want %q", b.String(), want)
	}
}

func TestWriterKnowsWhereALineBegins(t *testing.T) {
	var b bytes.Buffer
	w := text.NewWriter(&b)
	for _, c := range []struct {
		write string
		start bool
	}{{"", true}, {"a", false}, {"\n", true}, {" ", false}, {"b\n", true}} {
		write(t, w, c.write)
		if w.AtStart() != c.start {
			t.Errorf("after %q: AtStart is %v", b.String(), !c.start)
		}
	}
}

func write(t *testing.T, w *text.Writer, s string) {
	t.Helper()
	if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
		t.Fatalf("writing %q: %d, %v", s, n, err)
	}
}

// FuzzVisible checks the guarantees of Line, Lines, JSON and Writer independently of their code: it splits lines like a
// CI runner and classifies characters by the Unicode tables.
func FuzzVisible(f *testing.F) {
	for _, s := range []string{
		"", "plain", "::error::x", " \t::x", "a\n::b", "a\r::b", "a\u0085::b", "a\u2028::b", "##[x]", "#\u00ad#[x]", "#\ufe0f#[x]", "##vso[a]b", "##teamcity[a",
		"\x1b[31m", "\u202e", "\xff\xfe", "\xe2\x80", ":\ufe0f:x", "\ufe0f::x", "#\n#[", "###[", "##a#[", "##a##b[", "a::b ##", "[", ":", "\u3000::x", "\u180e::",
	} {
		f.Add(s, uint8(3), uint8(7))
	}
	f.Fuzz(func(t *testing.T, s string, a, b uint8) {
		line := text.Line(s)
		mustBeInert(t, line)
		if strings.ContainsAny(line, "\n\t") {
			t.Fatalf("Line(%q) = %q has several lines", s, line)
		}
		if again := text.Line(line); again != line {
			t.Fatalf("Line(%q) = %q, and of that %q", s, line, again)
		}
		lines := text.Lines(s)
		mustBeInert(t, lines)
		if again := text.Lines(lines); again != lines {
			t.Fatalf("Lines(%q) = %q, and of that %q", s, lines, again)
		}
		if got, want := utf8.RuneCountInString(lines), utf8.RuneCountInString(strings.ReplaceAll(s, "\r\n", "\n")); got != want {
			t.Fatalf("Lines(%q) has %d characters, want %d", s, got, want)
		}
		if isPlain(s) && lines != s {
			t.Fatalf("Lines(%q) = %q, though nothing is wrong with it", s, lines)
		}
		inJSON(t, s)
		inPieces(t, s, int(a), int(b))
	})
}

// inJSON checks the text as a JSON value and as a field name.
func inJSON(t *testing.T, s string) {
	t.Helper()
	b, err := json.Marshal(map[string]string{s: s})
	if err != nil {
		t.Fatal(err)
	}
	got := text.JSON(b)
	mustBeInert(t, string(got))
	var want, back map[string]string
	if json.Unmarshal(b, &want) != nil || json.Unmarshal(got, &back) != nil {
		t.Fatalf("JSON(%q) = %q is no JSON", b, got)
	}
	for k, v := range want {
		if back[k] != v {
			t.Fatalf("JSON(%q) = %q says something else", b, got)
		}
	}
}

// inPieces writes the text in three pieces, split at any byte, and expects the same output.
func inPieces(t *testing.T, s string, a, b int) {
	t.Helper()
	var whole, pieces bytes.Buffer
	write(t, text.NewWriter(&whole), s+"\n")
	i := min(a, len(s))
	j := min(i+b, len(s))
	w := text.NewWriter(&pieces)
	for _, piece := range []string{s[:i], s[i:j], s[j:] + "\n"} {
		write(t, w, piece)
	}
	if whole.String() != pieces.String() {
		t.Fatalf("%q in pieces of %d and %d: %q, not %q", s, a, b, pieces.String(), whole.String())
	}
	mustBeInert(t, whole.String())
}

// isPlain reports whether a text is harmless ASCII.
func isPlain(s string) bool {
	return !strings.ContainsAny(s, ":#") && !strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') })
}

// mustBeInert fails if a text would act on a terminal or a CI runner, or deceive a reader.
func mustBeInert(t *testing.T, s string) {
	t.Helper()
	for _, r := range s {
		switch {
		case r == '\n' || r == '\t':
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Bidi_Control):
			t.Fatalf("%q has the character %U", s, r)
		}
	}
	if !utf8.ValidString(s) {
		t.Fatalf("%q is no UTF-8", s)
	}
	// .NET ignores variation selectors when it compares texts.
	s = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Variation_Selector, r) {
			return -1
		}
		return r
	}, s)
	if strings.Contains(s, "##[") || strings.Contains(s, "##vso[") || strings.Contains(s, "##teamcity[") {
		t.Fatalf("%q has a command behind two hashes", s)
	}
	for _, line := range strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' || r == 0x85 || r == 0x2028 || r == 0x2029 }) {
		if strings.HasPrefix(strings.TrimLeftFunc(line, unicode.IsSpace), "::") {
			t.Fatalf("the line %q of %q begins with a command", line, s)
		}
	}
}
