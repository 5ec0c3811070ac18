package manual

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"certroll/cmd/certroll/settings"
	"certroll/reconcile/acme/dnswire"
)

// Command returns the command that writes the man pages of a version; built is the
// commit's time, "" if unknown. The pages come from the help, which is plain text.
// cobra's own generator reads it as Markdown, which spoils file globs and names with
// underscores.
func Command(getenv func(string) string, version, built string) *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the man pages into a directory",
		Long: `Write the man pages of all commands, certroll-dns, certroll.hcl, the environment and
the exit codes into a directory, and create it if it is missing. If DIR ends in man1,
pages of files and of topics go into man5 and man7 beside it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			date, err := manDate(getenv("SOURCE_DATE_EPOCH"), built)
			if err != nil {
				return err
			}
			if err := Write(dnsProgram(), args[0], version, date); err != nil {
				return err
			}
			return Write(cmd.Root(), args[0], version, date)
		},
	}
}

// dnsProgram stands for certroll-dns, which has no commands.
func dnsProgram() *cobra.Command {
	return &cobra.Command{
		Use:   dnswire.Program,
		Short: "Run one DNS provider for certroll",
		Long: `certroll starts certroll-dns by itself, once for each DNS account that it needs,
with the account's credentials as its environment, and ends it. The process with
the Vault token and the private keys therefore links no DNS provider. Do not start
it yourself; certroll-dns --version prints its version.

certroll looks for it beside its own file, symbolic links resolved, then in
../libexec/certroll from there. apply, run and doctor refuse to start if it is
missing or of another version than certroll: install both from one archive.`,
	}
}

// manDate returns the date of the pages: SOURCE_DATE_EPOCH, else the commit's date, so
// that the same source makes the same pages. Zero if neither is known.
func manDate(epoch, built string) (time.Time, error) {
	if epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return time.Time{}, fmt.Errorf("reading SOURCE_DATE_EPOCH: %w; set it to seconds since 1970", err)
		}
		return time.Unix(seconds, 0).UTC(), nil
	}
	at, _ := time.Parse(time.RFC3339, built)
	return at, nil
}

// Write writes the pages of a command and its subcommands.
func Write(c *cobra.Command, dir, version string, date time.Time) error {
	at := sectionDir(dir, manSection(c))
	err := os.MkdirAll(at, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(at, Name(c)+"."+manSection(c)), manPage(c, version, date), 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing the man page of %s: %w", c.CommandPath(), err)
	}
	for _, below := range c.Commands() {
		if !hasPage(below) {
			continue
		}
		if err := Write(below, dir, version, date); err != nil {
			return err
		}
	}
	return nil
}

// sectionDir returns the directory of a section: beside a man1 directory, man looks for
// section 5 in man5.
func sectionDir(dir, section string) string {
	if filepath.Base(dir) == "man1" {
		return filepath.Join(filepath.Dir(dir), "man"+section)
	}
	return dir
}

// hasPage reports whether a command or help topic has a page.
func hasPage(c *cobra.Command) bool {
	return c.Name() != "help" && (c.IsAvailableCommand() || c.IsAdditionalHelpTopicCommand())
}

// manSection returns the manual section: 1 for commands, 5 for files, 7 for other
// topics.
func manSection(c *cobra.Command) string {
	switch {
	case !c.HasParent() || !c.IsAdditionalHelpTopicCommand():
		return "1"
	case c.Name() == settings.DefaultFile:
		return "5"
	default:
		return "7"
	}
}

// Name returns the name of a command's page.
func Name(c *cobra.Command) string {
	if c.Name() == settings.DefaultFile {
		return settings.DefaultFile
	}
	return strings.ReplaceAll(c.CommandPath(), " ", "-")
}

// roff writes a man page with the macros of man(7).
type roff struct{ bytes.Buffer }

// manPage returns the page of one command.
func manPage(c *cobra.Command, version string, date time.Time) []byte {
	w := &roff{}
	day := ""
	if !date.IsZero() {
		day = date.Format(time.DateOnly)
	}
	fmt.Fprintf(w, ".TH %q %s %q %q \"certroll\"\n", strings.ToUpper(Name(c)), manSection(c), day, "certroll "+version)
	w.section("NAME")
	fmt.Fprintf(w, "%s \\- %s\n", escape(Name(c)), escape(lowerFirst(c.Short)))
	if manSection(c) == "1" {
		w.section("SYNOPSIS")
		fmt.Fprintf(w, ".B %s\n", escape(c.UseLine()))
	}
	w.section("DESCRIPTION")
	w.prose(cmp.Or(c.Long, c.Short+"."))
	if manSection(c) == "1" {
		w.flags("OPTIONS", c.NonInheritedFlags())
		w.flags("GLOBAL OPTIONS", c.InheritedFlags())
	}
	if c.Example != "" {
		w.section("EXAMPLES")
		w.block(c.Example)
	}
	w.also(c)
	return w.Bytes()
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

func (w *roff) section(name string) { fmt.Fprintf(w, ".SH %s\n", name) }

// prose writes paragraphs; indented lines stay as they are.
func (w *roff) prose(text string) {
	for i, p := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			w.WriteString(".PP\n")
		}
		if strings.HasPrefix(p, " ") || strings.HasPrefix(p, "\t") {
			w.block(p)
			continue
		}
		for line := range strings.Lines(p) {
			w.WriteString(escape(strings.TrimSpace(line)) + "\n")
		}
	}
}

// block writes lines unchanged.
func (w *roff) block(text string) {
	w.WriteString(".RS 4\n.nf\n")
	for line := range strings.Lines(strings.Trim(text, "\n")) {
		w.WriteString(escape(strings.TrimPrefix(strings.TrimRight(line, "\n"), "  ")) + "\n")
	}
	w.WriteString(".fi\n.RE\n")
}

// flags writes flags as the help does.
func (w *roff) flags(title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	w.section(title)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		placeholder, usage := pflag.UnquoteUsage(f)
		fmt.Fprintf(w, ".TP\n.B %s", escape("--"+f.Name))
		if placeholder != "" {
			fmt.Fprintf(w, " \\fI%s\\fR", escape(placeholder))
		}
		w.WriteString("\n" + escape(usage) + "\n")
	})
}

// also names the pages of the parent and the subcommands.
func (w *roff) also(c *cobra.Command) {
	var pages []*cobra.Command
	if p := c.Parent(); p != nil {
		pages = append(pages, p)
	}
	for _, below := range c.Commands() {
		if hasPage(below) {
			pages = append(pages, below)
		}
	}
	if len(pages) == 0 {
		return
	}
	w.section("SEE ALSO")
	for i, p := range pages {
		end := ","
		if i == len(pages)-1 {
			end = ""
		}
		fmt.Fprintf(w, ".BR %s (%s)%s\n", escape(Name(p)), manSection(p), end)
	}
}

// escape escapes roff's special characters: the backslash, dashes that would become
// hyphens, and a leading dot or quote, which starts a request.
func escape(line string) string {
	line = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(line)
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		line = `\&` + line
	}
	return line
}
