package setup

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"certroll/cmd/certroll/configrepo"
	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/edits"
	"certroll/cmd/certroll/initialize"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/view"
	"certroll/gitsync"
	"certroll/gitsync/atomicfile"
	"certroll/reconcile"
	"certroll/spec/bounded"
	"certroll/spec/text"
	"certroll/vault"
)

// adopt lets an existing certroll.hcl answer what no flag does.
func (i *initiation) adopt() error {
	s, err := i.parse(i.was)
	if err != nil {
		return err
	}
	i.existing = s
	f := i.f
	for _, b := range []struct {
		at   *string
		says string
	}{
		{&f.Repo.URL, s.Repo.URL}, {&f.Repo.Ref, s.Repo.Ref}, {&f.Repo.Directory, s.Repo.Directory},
		{&f.Vault.Mount, s.Vault.Mount}, {&f.Vault.Prefix, s.Vault.Prefix},
		{&f.Vault.Namespace, s.Vault.Namespace}, {&f.Vault.CACert, i.asWritten(s.Vault.CACert)},
	} {
		if *b.at == "" {
			*b.at = b.says
		}
	}
	if s.Vault.Address != "" {
		f.Vault.Address = s.Vault.Address
	}
	if a := s.Repo.Auth; a != nil && f.Repo.URL == s.Repo.URL { // another repository has a login of its own
		i.adoptLogin(a)
	}
	if a := s.Vault.Auth; a != nil && f.Vault.Auth == "" {
		f.Vault.Auth, f.Vault.AuthMount, f.Vault.RoleID = a.Method, a.Mount, a.RoleID
		if a.Role != "" {
			f.Vault.Role = a.Role
		}
		f.Vault.SecretIDFile, f.Vault.TokenFile = i.asWritten(a.SecretIDFile), i.asWritten(a.TokenFile)
		f.Vault.JWTFile, f.Vault.JWTEnv = i.asWritten(a.JWTFile), a.JWTEnv
	}
	return nil
}

// adoptLogin lets the auth block of the config repo answer what no flag does.
func (i *initiation) adoptLogin(a *settings.GitAuth) {
	r := &i.f.Repo
	if r.TokenEnv+r.TokenFile == "" {
		r.TokenEnv, r.TokenFile = a.TokenEnv, i.asWritten(a.TokenFile)
	}
	r.Username = cmp.Or(r.Username, a.Username)
	r.SSHKeyFile = cmp.Or(r.SSHKeyFile, i.asWritten(a.SSHKeyFile))
	r.KnownHosts = cmp.Or(r.KnownHosts, i.asWritten(a.KnownHosts))
	if !strings.Contains(a.CABundle, "-----BEGIN") { // a file, not the PEM itself
		r.CABundle = cmp.Or(r.CABundle, i.asWritten(a.CABundle))
	}
}

// asWritten returns a path relative to certroll.hcl if it is below its directory.
func (i *initiation) asWritten(at string) string {
	dir, err := filepath.Abs(filepath.Dir(i.file))
	if err != nil || !filepath.IsAbs(at) {
		return at
	}
	if rel, err := filepath.Rel(dir, at); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return at
}

// parse decodes settings as the next command will.
func (i *initiation) parse(b []byte) (*settings.Settings, error) {
	s, files, diags := settings.Parse(i.file, b)
	if diags.HasErrors() {
		view.Diagnostics(i.app.Err, i.app.Palette(), files, diags)
		return nil, fmt.Errorf("%s has mistakes; nothing was written", i.file)
	}
	return s, nil
}

// prepare makes and decodes all files, without writing.
func (i *initiation) prepare(ctx context.Context) error {
	settings := i.was
	if settings == nil {
		settings = i.f.Settings()
	}
	s, err := i.parse(settings)
	if err != nil {
		return err
	}
	i.local, i.repo = []initialize.File{{Path: filepath.Base(i.file), Bytes: settings}}, nil
	pipeline, err := i.f.Pipeline()
	if err != nil {
		return err
	}
	i.repo = append(i.f.Trusted(settings), pipeline...)
	if !i.complete() {
		return i.lacking()
	}
	if i.policy, err = i.f.Policy(); err != nil {
		return err
	}
	if i.f.Vault.Auth != "token" {
		i.local = append(i.local, initialize.File{Path: initialize.PolicyFile, Bytes: i.policy})
	}
	declared := i.f.Declared()
	if err := i.serve(); err != nil {
		return err
	}
	if diags := i.decode(ctx, s, i.below(declared)); diags.HasErrors() {
		view.Diagnostics(i.app.Err, i.app.Palette(), append(configrepo.SpecFiles(i.below(declared)), *s.File), diags)
		return errors.New("the files for these settings have mistakes; nothing was written")
	}
	i.repo = append(i.repo, declared...)
	return nil
}

// lacking rejects options that need the answers behind an existing certroll.hcl.
func (i *initiation) lacking() error {
	for flag, given := range map[string]bool{"service": i.f.service != "", "setup-vault": i.f.setup} {
		if given {
			return flagList(fmt.Sprintf("--%s needs the settings that %s was created from; these flags are missing:", flag, i.file), i.f.Questions())
		}
	}
	return nil
}

// serve adds the files of the requested service.
func (i *initiation) serve() error {
	if i.f.service == "" {
		return nil
	}
	files, commands, err := i.f.Service(i.f.service)
	if err != nil {
		return err
	}
	for _, f := range files {
		if path.Base(f.Path) == settings.DefaultFile {
			if _, err := i.parse(f.Bytes); err != nil {
				return err
			}
		}
	}
	i.local, i.install = append(i.local, files...), commands
	return nil
}

// below returns the files in the directory of the certificates, with paths relative to
// it.
func (i *initiation) below(files []initialize.File) []gitsync.File {
	var out []gitsync.File
	for _, f := range files {
		if rest, ok := strings.CutPrefix(f.Path, i.f.Repo.Directory+"/"); ok && strings.HasSuffix(rest, ".hcl") {
			out = append(out, gitsync.File{Path: rest, Bytes: f.Bytes})
		}
	}
	return out
}

func (i *initiation) decode(ctx context.Context, s *settings.Settings, files []gitsync.File) hcl.Diagnostics {
	_, _, diags := configrepo.Decode(ctx, s, files)
	return diags
}

// show prints the files without writing them.
func (i *initiation) show() error {
	var b strings.Builder
	for _, f := range i.local {
		fmt.Fprintf(&b, "==> %s <==\n%s\n", path.Join(filepath.ToSlash(filepath.Dir(i.file)), f.Path), f.Bytes)
	}
	for _, f := range i.repo {
		fmt.Fprintf(&b, "==> config repo: %s <==\n%s\n", f.Path, f.Bytes)
	}
	b.WriteString("==> commands for Vault <==\n" + strings.Join(i.f.Commands(), "\n") + "\n")
	if len(i.install) > 0 {
		b.WriteString("\n==> commands for the service <==\n" + strings.Join(i.install, "\n") + "\n")
	}
	return i.app.Content([]byte(b.String()))
}

// carryOut writes what is missing. Steps that need another system come first, so that a
// wrong address leaves no local files behind.
func (i *initiation) carryOut(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	repo, err := i.openRepo(ctx)
	if err != nil {
		return unknownCA(err, "--git-ca FILE (repo.auth.ca_bundle)", i.was != nil || i.f.Repo.CABundle != "")
	}
	if repo != nil {
		defer func() { _ = repo.Close() }()
	}
	if err := i.setUpVault(ctx); err != nil {
		return unknownCA(err, "--vault-ca FILE (vault.ca_cert)", i.was != nil || i.f.Vault.CACert != "")
	}
	if err := i.placeLocal(); err != nil {
		return err
	}
	if err := i.declare(ctx, repo); err != nil {
		return err
	}
	i.advise()
	return i.examine(ctx, repo != nil)
}

func (i *initiation) say(outcome, what string) {
	fmt.Fprintf(i.app.Out, "%-7s %s\n", outcome, text.Line(what))
}

// place writes a file unless it exists.
func (i *initiation) place(dir string, f initialize.File) error {
	at := filepath.Join(dir, filepath.FromSlash(f.Path))
	switch was, err := bounded.File(at, bounded.Named); {
	case err == nil && string(was) == string(f.Bytes):
		i.say("kept", at)
		return nil
	case err == nil:
		i.say("kept", at+", which differs from what init would write")
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("looking for %s: %w", at, err)
	}
	if err := staysIn(dir, at); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return fmt.Errorf("making the directory of %s: %w", at, err)
	}
	if err := atomicfile.Write(at, f.Bytes, 0o644); err != nil {
		return fmt.Errorf("writing %s: %w; run the same command again to continue", at, err)
	}
	i.say("made", at)
	return nil
}

// staysIn returns an error for a missing file that a symbolic link, at the file or at a
// directory above it, leads out of dir: dir may be a checkout, and its authors choose its
// links.
func staysIn(dir, at string) error {
	target, err := atomicfile.Target(at)
	if err != nil {
		return err
	}
	root, err := resolved(dir)
	if err != nil {
		return err
	}
	parent, err := resolved(filepath.Dir(target))
	if err != nil {
		return fmt.Errorf("following the symbolic link %s: %w", at, err)
	}
	if rel, err := filepath.Rel(root, parent); err != nil || !filepath.IsLocal(rel) {
		return fmt.Errorf("writing %s: a symbolic link leads out of %s, to %s; make that file, or remove the link", at, dir, filepath.Join(parent, filepath.Base(target)))
	}
	return nil
}

// resolved returns a path without symbolic links. The end of the path may be missing.
func resolved(path string) (string, error) {
	at, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for {
		found, err := filepath.EvalSymlinks(at)
		if err == nil {
			return filepath.Join(found, rest), nil
		}
		// A link without a target is there, and no directory can be made at it.
		if _, lost := os.Lstat(at); lost == nil || !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		at, rest = filepath.Dir(at), filepath.Join(filepath.Base(at), rest)
	}
}

// placeLocal writes this machine's files. The first is certroll.hcl.
func (i *initiation) placeLocal() error {
	rest := i.local
	if i.was != nil {
		edited := ""
		if i.complete() && string(i.was) != string(i.f.Settings()) {
			edited = ", which differs from what init would write"
		}
		i.say("kept", i.file+edited)
		rest = rest[1:]
	}
	for _, f := range rest {
		if err := i.place(filepath.Dir(i.file), f); err != nil {
			return err
		}
	}
	return nil
}

// openRepo opens the config repo, and drops the files that it already has or that
// conflict with it; nil with --dir.
func (i *initiation) openRepo(ctx context.Context) (*gitsync.Ledger, error) {
	if i.f.dir != "" {
		return nil, nil
	}
	s, err := i.parse(i.local[0].Bytes)
	if err != nil {
		return nil, err
	}
	auth, err := s.Repo.Auth.Auth()
	if err != nil {
		return nil, err
	}
	o := gitsync.SeedOptions{URL: s.Repo.URL, Branch: s.Repo.Ref, Auth: auth}
	if o.AuthorName, o.AuthorEmail, err = edits.Author(i.app.Getenv, i.f.author); err != nil {
		return nil, err
	}
	repo, err := gitsync.OpenSeed(ctx, o)
	if err != nil {
		return nil, err
	}
	tree, _, err := repo.Snapshot(ctx)
	if err == nil {
		err = i.fit(ctx, s, tree)
	}
	if err == nil && len(i.absent(tree)) > 0 {
		if s.Verify != nil {
			err = errors.New("certroll.hcl requires signed commits, and certroll does not sign its commits: write the files into a clone with --dir, and commit them yourself; nothing was written")
		} else {
			err = repo.CheckPush(ctx)
		}
	}
	if err != nil {
		_ = repo.Close()
		return nil, err
	}
	return repo, nil
}

// absent returns the config repo files that a tree lacks.
func (i *initiation) absent(tree fs.FS) []initialize.File {
	return slices.DeleteFunc(slices.Clone(i.repo), func(f initialize.File) bool {
		_, err := fs.Stat(tree, f.Path)
		return !errors.Is(err, fs.ErrNotExist)
	})
}

// fit drops the first certificates if they conflict with those of the repo, for example
// because an owner renamed a file.
func (i *initiation) fit(ctx context.Context, s *settings.Settings, tree fs.FS) error {
	there, err := gitsync.Declared(tree, i.f.Repo.Directory)
	if err != nil {
		return err
	}
	if len(there) == 0 {
		return nil
	}
	lacks := slices.DeleteFunc(i.absent(tree), func(f initialize.File) bool { return len(i.below([]initialize.File{f})) == 0 })
	for n := len(lacks); n >= 0; n-- { // the first certificates are at the end
		if i.decode(ctx, s, append(slices.Clone(there), i.below(lacks[:n])...)).HasErrors() {
			continue
		}
		if n < len(lacks) {
			i.leaveOut(lacks[n:])
			i.say("kept", fmt.Sprintf("the certificates in %s of the config repo, with nothing added", i.f.Repo.Directory))
		}
		return nil
	}
	view.Diagnostics(i.app.Err, i.app.Palette(), append(configrepo.SpecFiles(there), *s.File), i.decode(ctx, s, there))
	return fmt.Errorf("the files in %s of the config repo do not fit %s: change these files, or the policies; nothing was written", i.f.Repo.Directory, i.file)
}

func (i *initiation) leaveOut(files []initialize.File) {
	i.repo = slices.DeleteFunc(i.repo, func(f initialize.File) bool {
		return slices.ContainsFunc(files, func(o initialize.File) bool { return o.Path == f.Path })
	})
}

// declare writes the first files of the config repo, and starts the ledger.
func (i *initiation) declare(ctx context.Context, repo *gitsync.Ledger) error {
	if repo == nil {
		for _, f := range i.repo {
			if err := i.place(i.f.dir, f); err != nil {
				return err
			}
		}
		i.say("left", "the ledger's branch, which the first apply creates")
		return nil
	}
	var made []initialize.File
	commit, err := repo.Commit(ctx, "Begin with certroll\n\nMade by certroll init.", func(tree fs.FS) (map[string][]byte, error) {
		made = i.absent(tree)
		files := map[string][]byte{}
		for _, f := range made {
			files[f.Path] = f.Bytes
		}
		return files, nil
	})
	if err != nil {
		return err
	}
	for _, f := range i.repo {
		outcome := "kept"
		if slices.ContainsFunc(made, func(m initialize.File) bool { return m.Path == f.Path }) {
			outcome = "made"
		}
		i.say(outcome, "config repo: "+f.Path)
	}
	if commit != "" {
		i.say("pushed", fmt.Sprintf("%.12s to %s", commit, i.f.Repo.Ref))
	}
	return i.beginLedger(ctx)
}

// beginLedger creates the ledger's branch if it is missing.
func (i *initiation) beginLedger(ctx context.Context) error {
	s, err := i.parse(i.local[0].Bytes)
	if err != nil {
		return err
	}
	ledger, err := s.WriteLedger("")
	if err != nil {
		return err
	}
	defer func() { _ = ledger.Close() }()
	commit, err := ledger.Commit(ctx, "begin the ledger", func(tree fs.FS) (map[string][]byte, error) {
		if there, err := fs.ReadDir(tree, "."); err != nil || len(there) > 0 {
			return nil, err
		}
		return reconcile.FirstFiles(), nil
	})
	if err != nil {
		return err
	}
	outcome := "kept"
	if commit != "" {
		outcome = "made"
	}
	i.say(outcome, "the ledger, "+ledger.Place())
	return nil
}

// setUpVault creates what is missing in Vault, if requested.
func (i *initiation) setUpVault(ctx context.Context) error {
	if !i.f.setup {
		return nil
	}
	v := &i.f.Vault
	ca := v.CACert
	if i.existing != nil && ca == i.asWritten(i.existing.Vault.CACert) {
		ca = i.existing.Vault.CACert // relative to certroll.hcl, not to the working directory
	}
	client, err := vault.New(vault.Options{Address: v.Address, Namespace: v.Namespace, CACert: ca, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if err := client.Login(ctx); err != nil {
		return err
	}
	at := v.AuthMount
	if at == "" {
		at = "approle"
	}
	setup := vault.Setup{Mount: v.Mount, PolicyName: initialize.PolicyName, Policy: string(i.policy), AuthMount: at, Role: v.Role, TokenTTL: "1h"}
	id, done, err := client.SetUp(ctx, setup)
	for _, d := range done {
		i.sayDone(d)
	}
	if err != nil {
		return err
	}
	if i.was == nil {
		v.RoleID = id
		if err := i.prepareAgain(ctx); err != nil {
			return err
		}
	}
	i.lookForCredentials(ctx, vault.NewKV(client))
	return i.keepSecretID(ctx, client, setup)
}

// lookForCredentials notes the credentials that are in Vault. One that it cannot look for
// counts as missing.
func (i *initiation) lookForCredentials(ctx context.Context, kv *vault.KV) {
	i.inVault = map[string]bool{}
	mount := i.f.Vault.Mount
	for _, at := range i.f.Secrets() {
		if path, ok := strings.CutPrefix(at, mount+"/"); ok {
			_, live, _, err := kv.ReadMetadata(ctx, mount, path)
			i.inVault[at] = err == nil && live
		}
	}
}

// unknownCA adds the flag for the certificate of a server's own CA, unless it was given.
func unknownCA(err error, flag string, given bool) error {
	if unknown := new(x509.UnknownAuthorityError); given || !errors.As(err, unknown) {
		return err
	}
	return fmt.Errorf("%w; here, name it with %s", err, flag)
}

func (i *initiation) sayDone(d vault.SetUp) {
	switch {
	case d.Made:
		i.say("made", "Vault: "+d.What)
	case d.Differs:
		i.say("kept", "Vault: "+d.What+", which differs from what init would create")
	default:
		i.say("kept", "Vault: "+d.What)
	}
}

// prepareAgain makes the files again with Vault's answers, without those that the config
// repo has.
func (i *initiation) prepareAgain(ctx context.Context) error {
	left := i.repo
	if err := i.prepare(ctx); err != nil {
		return err
	}
	i.repo = slices.DeleteFunc(i.repo, func(f initialize.File) bool {
		return !slices.ContainsFunc(left, func(l initialize.File) bool { return l.Path == f.Path })
	})
	return nil
}

// keepSecretID stores a new secret id unless the file exists.
func (i *initiation) keepSecretID(ctx context.Context, client *vault.Client, setup vault.Setup) error {
	named, dir := i.f.Vault.SecretIDFile, filepath.Dir(i.file)
	at := named
	if !filepath.IsAbs(at) {
		at = filepath.Join(dir, at)
	}
	switch _, err := os.Stat(at); {
	case err == nil:
		i.say("kept", at)
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("looking for the secret id: %w", err)
	}
	// A path that leads out of the directory by itself was chosen on purpose.
	if filepath.IsLocal(named) {
		if err := staysIn(dir, at); err != nil {
			return err
		}
	}
	id, err := client.NewSecretID(ctx, setup)
	if err != nil {
		return err
	}
	i.app.Redact.Learn(id)
	if err := atomicfile.Write(at, []byte(id), 0o600); err != nil {
		return fmt.Errorf("writing the secret id: %w; name another file with --vault-secret-id-file", err)
	}
	i.say("made", at+", which only you can read")
	return nil
}

// advise prints the operator's remaining steps in Vault.
func (i *initiation) advise() {
	if i.policy == nil {
		return
	}
	if !i.f.setup {
		fmt.Fprintf(i.app.Out, "\nFor Vault:\n  %s\n", strings.Join(i.f.Commands(), "\n  "))
	}
	if len(i.install) > 0 {
		fmt.Fprintf(i.app.Out, "\nFor the service:\n  %s\n", strings.Join(i.install, "\n  "))
	}
	if i.f.CI != initialize.NoCI {
		fmt.Fprintf(i.app.Out, "\nFor the pipeline: set CERTROLL_URL and CERTROLL_SHA256 in it to the archive of a release.\n")
	}
}

// examine runs doctor; its findings are no failure of init.
func (i *initiation) examine(ctx context.Context, pushed bool) error {
	a := i.app
	if pushed {
		fmt.Fprintf(a.Out, "\ncertroll doctor:\n")
		*a.ConfigFile = i.file
		var code console.ExitCode
		if err := a.Doctor(ctx); err != nil && !errors.As(err, &code) {
			fmt.Fprintf(a.Out, "  doctor cannot check yet: %s\n", text.Line(err.Error()))
		}
	}
	config := ""
	if i.file != settings.DefaultFile {
		config = " --config " + text.Line(i.file)
	}
	before := ""
	switch {
	case i.policy == nil:
	case i.f.setup:
		for _, command := range i.f.Storing(i.inVault) {
			before += "  " + command + "\n"
		}
	default:
		before = "  the commands for Vault above\n"
	}
	fmt.Fprintf(a.Out, "\nNext:\n%[2]s  certroll doctor%[1]s\n  certroll plan%[1]s\n  certroll apply%[1]s\n", config, before)
	return nil
}
