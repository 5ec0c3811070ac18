package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/spf13/cobra"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/importing"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/view"
	"certroll/cmd/certroll/wiring"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/text"
	"certroll/vault"
)

// importFlags are the flags of all import commands.
type importFlags struct {
	out, issuer, dns, prefix string
	dry, asJSON              bool
}

func (a *app) importCommand() *cobra.Command {
	var f importFlags
	c := &cobra.Command{
		Use:   "import",
		Short: "Take over existing certificates without issuing new ones",
		Long: `Take over existing certificates from Vault or from the directories of other ACME
clients. import writes HCL for them, stores keys and chains from files in Vault at
empty paths, and issues nothing. Commit the HCL, and the next apply adopts the
certificates. A report lists what could not be carried over. Exits 1 if a
certificate was left behind. See docs/import.md.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := c.PersistentFlags()
	flags.StringVar(&f.out, "out", "", "write the HCL to this new file (default: standard output)")
	flags.StringVar(&f.issuer, "issuer", "", "the issuer block that renewals use (default: write new blocks)")
	flags.StringVar(&f.dns, "dns", "", "the dns block that renewals use (default: write new blocks, with credentials to fill in)")
	flags.StringVar(&f.prefix, "prefix", "tls/", "path in the mount for keys and chains from files")
	flags.BoolVar(&f.dry, "dry-run", false, "write nothing, neither to Vault nor to --out")
	flags.BoolVar(&f.asJSON, "json", false, "print the report as JSON, with the HCL in it")
	c.AddCommand(a.importVaultCommand(&f))
	for _, tool := range []struct {
		name, usual string
		read        func(fs.FS) (*importing.Findings, error)
	}{
		{"certbot", "/etc/letsencrypt", importing.Certbot},
		{"lego", ".lego", importing.Lego},
		{"acme.sh", "~/.acme.sh", importing.AcmeSh},
		{"certmate", "CertMate's directory with certificates/ in it", importing.CertMate},
	} {
		c.AddCommand(&cobra.Command{
			Use:   tool.name + " DIR",
			Short: "Take over the certificates of " + tool.name + " (" + tool.usual + ")",
			Args:  cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.importAll(cmd.Context(), tool.name, f, func(context.Context, *vault.KV, *settings.Settings) (*importing.Findings, error) {
					return readTool(args[0], tool.read)
				})
			},
		})
	}
	return c
}

func (a *app) importVaultCommand(f *importFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "vault MOUNT/PATH...",
		Short: "Write HCL that adopts keys and certificates stored in Vault KV v2",
		Long: `Write HCL that adopts keys and certificates stored in Vault KV v2. A path that ends
in /* stands for all secrets below it. Writes nothing to Vault.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.importAll(cmd.Context(), "vault", *f, func(ctx context.Context, kv *vault.KV, s *settings.Settings) (*importing.Findings, error) {
				places, err := locate(ctx, kv, args)
				if err != nil {
					return nil, err
				}
				return importing.Vault(ctx, kv, places, s.Vault.Prefix)
			})
		},
	}
}

// locate splits paths into mount and path.
func locate(ctx context.Context, kv *vault.KV, paths []string) ([]ledger.Location, error) {
	places := make([]ledger.Location, 0, len(paths))
	for _, p := range paths {
		p = strings.Trim(p, "/")
		prefix, listed := strings.CutSuffix(p, "/*")
		mount, rest, err := kv.Locate(ctx, prefix)
		switch {
		case err != nil:
			return nil, err
		case rest == "" && !listed:
			return nil, fmt.Errorf("%s is a mount: name a secret in it, or write %[1]s/* for all", p)
		case listed:
			rest = strings.TrimPrefix(rest+"/*", "/")
		}
		places = append(places, ledger.Location{Mount: mount, Path: rest})
	}
	return places, nil
}

func readTool(dir string, read func(fs.FS) (*importing.Findings, error)) (*importing.Findings, error) {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = errors.New("it is no directory")
	}
	var found *importing.Findings
	if err == nil {
		found, err = read(os.DirFS(dir))
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", dir, err)
	}
	return found, nil
}

// importAll reads, imports and reports.
func (a *app) importAll(ctx context.Context, tool string, f importFlags, read func(context.Context, *vault.KV, *settings.Settings) (*importing.Findings, error)) error {
	if err := f.check(); err != nil {
		return err
	}
	s, log, err := a.begin()
	if err != nil {
		return err
	}
	_, kv, err := wiring.Login(ctx, s, log)
	if err != nil {
		return err
	}
	found, err := read(ctx, kv, s)
	if err != nil {
		return err
	}
	o := importing.Options{Tool: tool, Issuer: f.issuer, DNS: f.dns, Mount: s.Vault.Mount, Prefix: f.prefix, Trust: s.SpecTrust()}
	report, err := importing.Take(ctx, kv, found, o, time.Now(), f.dry)
	if err != nil {
		return err
	}
	return a.showImport(s, tool, f, report)
}

// check normalizes the flags, and checks before any write whether the output file can be
// written.
func (f *importFlags) check() error {
	f.issuer, f.dns = strings.TrimPrefix(f.issuer, "issuer."), strings.TrimPrefix(f.dns, "dns.")
	for flag, name := range map[string]string{"issuer": f.issuer, "dns": f.dns} {
		if name != "" && !hclsyntax.ValidIdentifier(name) {
			return fmt.Errorf("--%s %q is no name of a block", flag, name)
		}
	}
	if f.prefix = strings.Trim(f.prefix, "/"); f.prefix != "" {
		f.prefix += "/"
	}
	if f.out == "" {
		return nil
	}
	if _, err := os.Lstat(f.out); err == nil {
		return fmt.Errorf("--out %s exists and is not overwritten; name another file", f.out)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking at --out: %w", err)
	}
	return nil
}

func (a *app) showImport(s *settings.Settings, tool string, f importFlags, report *importing.Report) error {
	dto := newImport(tool, f.dry, report)
	tellNeeds(s, &dto, report.Needs)
	if f.out != "" && !f.dry && report.HCL != nil {
		if err := writeNew(f.out, report.HCL); err != nil {
			return err
		}
		dto.File = f.out
	}
	switch {
	case f.asJSON:
		if err := view.JSON(a.Data(), dto); err != nil {
			return err
		}
	case f.out != "":
		view.WriteImport(a.Out, a.Palette(), dto)
	default:
		if err := a.Content([]byte(dto.HCL)); err != nil {
			return err
		}
		view.WriteImport(a.Err, view.Palette{On: !a.NoColor && console.IsTerminal(a.Err)}, dto)
	}
	if dto.Left > 0 {
		return console.ExitCode(console.ExitError)
	}
	return nil
}

// tellNeeds adds what keeps the HCL out of the config repo for now: the lines of
// certroll.hcl that allow an address, as `doctor --upgrade` prints them, and notes about
// what only a person can fix.
func tellNeeds(s *settings.Settings, dto *view.Import, needs []spec.ConcernedHold) {
	var addresses []spec.ConcernedHold
	for _, h := range needs {
		if h.Rule.Allow.Setting == "endpoints" {
			addresses = append(addresses, h)
			continue
		}
		dto.Notes = append(dto.Notes, text.Line(h.Subject+" in "+h.Message))
	}
	dto.Allow = s.Allowances(addresses)
}

// writeNew writes a new file; it fails if the file exists.
func writeNew(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("writing the HCL: %w; secrets already written stay in Vault: run the same command again to continue", err)
	}
	_, err = file.Write(content)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("writing the HCL to %s: %w; secrets already written stay in Vault: remove that file, and run the same command again to continue", path, err)
	}
	return nil
}

func newImport(tool string, dry bool, report *importing.Report) view.Import {
	dto := view.Import{
		Schema: view.ImportSchema, Tool: tool, DryRun: dry, HCL: string(report.HCL),
		Certificates: []view.Imported{}, Notes: lines(report.Notes),
	}
	for _, r := range report.Results {
		c := view.Imported{
			Name: text.Line(r.Name), Block: r.Block, From: text.Line(r.From), Outcome: string(r.Outcome), Why: text.Line(r.Why),
			Names: lines(r.Names()), Key: r.Shape(), Notes: lines(r.Notes),
		}
		if r.There || r.Outcome != importing.Left {
			c.Vault = text.Line(r.At.String())
		}
		if len(r.Chain) > 0 {
			c.NotAfter, c.Serial = r.Chain[0].NotAfter.UTC(), hex.EncodeToString(r.Chain[0].SerialNumber.Bytes())
		}
		dto.Certificates = append(dto.Certificates, c)
	}
	dto.Count(importing.FillIn)
	return dto
}

func lines(of []string) []string {
	out := make([]string, len(of))
	for i, s := range of {
		out[i] = text.Line(s)
	}
	return out
}
