package ask

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"certroll/cmd/certroll/page"
	"certroll/cmd/certroll/view"
	"certroll/gitsync/atomicfile"
	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

// writePages writes the status page from the ledger, as files for a static web server.
func (a *Commands) writePages(ctx context.Context, dir string) error {
	s, err := a.LoadSettings()
	if err != nil {
		return err
	}
	ledger, err := s.OpenLedger("")
	if err != nil {
		return err
	}
	defer func() { _ = ledger.Close() }()
	tree, head, err := ledger.Snapshot(ctx)
	if err != nil {
		return err
	}
	records, lost, err := archive.ReadLedger(ctx, tree, ledger, time.Now())
	view.WriteUnreadable(a.Err, lost)
	if err != nil {
		return err
	}
	p, events, err := pageOf(tree, records, head, time.Now())
	if err != nil {
		return err
	}
	if err := ourDirectory(dir); err != nil {
		return err
	}
	written := map[string]bool{}
	err = p.Files(p.Histories(events), func(name string, b []byte) error {
		written[name] = true
		return atomicfile.Write(filepath.Join(dir, filepath.FromSlash(name)), b, 0o644)
	})
	if err == nil {
		err = removeOthers(dir, written)
	}
	if err != nil {
		return fmt.Errorf("writing the page into %s: %w", dir, err)
	}
	_, err = fmt.Fprintf(a.Out, "%s, in %d files: %s\n", text.Counted(len(p.Certificates), "certificate"), len(written), filepath.Join(dir, "index.html"))
	return err
}

// pageOf returns the page of a ledger, and all its events.
func pageOf(tree fs.FS, records map[string]*ledger.Record, head string, now time.Time) (*page.Page, []ledger.Event, error) {
	problems, err := archive.ReadProblems(tree)
	if err != nil {
		return nil, nil, err
	}
	events, err := archive.Query{}.Events(tree)
	if err != nil {
		return nil, nil, err
	}
	in := page.Input{Problems: problems.Problems, Ledger: head}
	for _, r := range records {
		in.Records = append(in.Records, r)
	}
	return page.New(in, now), events, nil
}

// ourDirectory creates the directory. It refuses a directory with other contents; hidden
// entries, such as .git of a Pages branch, do not count.
func ourDirectory(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the directory of the page: %w", err)
	}
	ours := false
	for _, e := range entries {
		ours = ours || e.Name() == "search.json"
	}
	for _, e := range entries {
		if name := e.Name(); !ours && name != "certificates" && !strings.HasPrefix(name, ".") {
			return fmt.Errorf("%s holds %s, and no page of certroll: name a directory of its own", dir, name)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "certificates"), 0o755); err != nil { //nolint:gosec // public files
		return fmt.Errorf("making the directory of the page: %w", err)
	}
	return nil
}

// removeOthers removes the pages of certificates that no longer exist.
func removeOthers(dir string, written map[string]bool) error {
	for _, pattern := range []string{"certificates/*.html", "page-*.html"} {
		old, err := fs.Glob(os.DirFS(dir), pattern)
		if err != nil {
			return err
		}
		for _, name := range old {
			if written[name] {
				continue
			}
			if err := os.Remove(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
				return err
			}
		}
	}
	return nil
}
