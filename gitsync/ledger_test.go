package gitsync

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"certroll/examples/lab/labtest"
	"certroll/gitsync/fault"
	"certroll/gitsync/objects"
)

var errEdit = errors.New("the edit failed")

func at(when string) func() time.Time {
	return func() time.Time {
		t, err := time.Parse(time.RFC3339, when)
		if err != nil {
			panic(err)
		}
		return t
	}
}

func TestLedgerCommit(t *testing.T) {
	overAll(t, func(t *testing.T, p place) {
		l := p.ledger(t, LedgerOptions{AuthorName: "Bot <x>", AuthorEmail: "bot@example.com", Now: at("2026-11-23T10:00:00Z")})
		tree, head, err := l.Snapshot(t.Context())
		must(t, err)
		if list, err := fs.ReadDir(tree, "."); head != "" || err != nil || len(list) != 0 {
			t.Fatalf("an absent branch gives head %q, %v, %v", head, list, err)
		}
		first := commit(t, l, write(map[string]string{"STATUS.md": "one", "certificates/a.json": "a", "audit/2026/11.jsonl": "x"}))
		if got := p.git(t, "rev-parse", "refs/heads/certroll/status"); got != first {
			t.Fatalf("the branch is at %s, Commit said %s", got, first)
		}
		if got := p.git(t, "log", "-1", "--format=%an|%ae|%cn|%aI|%s|%(trailers:key=Operation)|%P", first); got != "Bot x|bot@example.com|Bot x|2026-11-23T10:00:00Z|Test|Operation: test\n|" &&
			got != "Bot x|bot@example.com|Bot x|2026-11-23T10:00:00+00:00|Test|Operation: test\n|" {
			t.Errorf("the commit is %q", got)
		}
		if again := commit(t, l, write(map[string]string{"STATUS.md": "one", "certificates/b.json": ""})); again == "" {
			t.Error("an empty new file is no change")
		}
		if again := commit(t, l, write(map[string]string{"STATUS.md": "one"})); again != "" {
			t.Errorf("nothing changed, and there is commit %s", again)
		}
		if again := commit(t, l, func(fs.FS) (map[string][]byte, error) {
			return map[string][]byte{"absent/file": nil, "certificates/b.json": nil}, nil
		}); again == "" {
			t.Error("a deletion is no change")
		}
		last := commit(t, l, func(fs.FS) (map[string][]byte, error) {
			return map[string][]byte{"certificates/a.json": nil}, nil
		})
		if got := p.git(t, "ls-tree", "-r", "--name-only", last); got != "STATUS.md\naudit/2026/11.jsonl" && got != "audit/2026/11.jsonl\nSTATUS.md" {
			t.Errorf("the tree is %q", got)
		}
		if got := p.git(t, "rev-list", "--count", last); got != "4" {
			t.Errorf("there are %s commits", got)
		}
		p.git(t, "fsck", "--strict", "--full")
	})
}

func TestLedgerEditErrors(t *testing.T) {
	p := local(t)
	l := p.ledger(t, LedgerOptions{})
	_, err := l.Commit(t.Context(), "m", func(fs.FS) (map[string][]byte, error) { return nil, errEdit })
	if !errors.Is(err, errEdit) {
		t.Errorf("got %v", err)
	}
	for _, path := range []string{"", ".", "..", "../x", "/x", "a//b", "a/./b", "a/../b", ".git/config", "a/.GIT/hooks/x", "a\\b", "a\nb", "a/"} {
		_, err := l.Commit(t.Context(), "m", write(map[string]string{path: "x"}))
		failure(t, err, fault.Invalid, "no path of a file")
	}
	_, err = l.Commit(t.Context(), "m", write(map[string]string{"a": "x", "a/b": "y"}))
	failure(t, err, fault.Invalid, "both as a file and as a directory")
	_, err = l.Commit(t.Context(), " \n", write(map[string]string{"a": "x"}))
	failure(t, err, fault.Invalid, "message is empty")
	if _, head, err := l.Snapshot(t.Context()); err != nil || head != "" {
		t.Errorf("a refused edit left %q, %v", head, err)
	}
}

// TestLedgerInConfigBranch: the ledger can be a directory of the config branch. Commits of the ledger keep the other
// files of the branch.
func TestLedgerInConfigBranch(t *testing.T) {
	overAll(t, func(t *testing.T, p place) {
		p.push(t, "main", map[string]string{"certs/a.hcl": "a", "status/old": "old", "run.sh": "x"})
		l := p.ledger(t, LedgerOptions{Branch: "main", Directory: "status"})
		tree, _, err := l.Snapshot(t.Context())
		must(t, err)
		if b, err := fs.ReadFile(tree, "old"); err != nil || string(b) != "old" {
			t.Errorf("got %q, %v", b, err)
		}
		if _, err := fs.Stat(tree, "certs"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the config is seen from below the directory: %v", err)
		}
		commit(t, l, write(map[string]string{"STATUS.md": "s"}))
		p.push(t, "main", map[string]string{"certs/b.hcl": "b"})
		commit(t, l, write(map[string]string{"STATUS.md": "t"}))
		if got := strings.Fields(p.git(t, "ls-tree", "-r", "--name-only", "main")); !reflect.DeepEqual(got, []string{"certs/a.hcl", "certs/b.hcl", "run.sh", "status/STATUS.md", "status/old"}) {
			t.Errorf("got %v", got)
		}
		if _, _, ok := l.Rewound(); ok {
			t.Error("a plain push counts as a rewind")
		}
	})
}

func TestLedgerTreeIsAnFS(t *testing.T) {
	p := local(t)
	l := p.ledger(t, LedgerOptions{})
	// git sorts "a" after "a.b"; io/fs sorts it before.
	commit(t, l, write(map[string]string{"a/x": "1", "a.b": "2", "a0": "3", "d/e/f/g": "4", "empty": ""}))
	tree, _, err := l.Snapshot(t.Context())
	must(t, err)
	must(t, fstest.TestFS(tree, "a/x", "a.b", "a0", "d/e/f/g", "empty"))
	sub, err := fs.Sub(tree, "d/e")
	must(t, err)
	if b, err := fs.ReadFile(sub, "f/g"); err != nil || string(b) != "4" {
		t.Errorf("got %q, %v", b, err)
	}
	if _, err := fs.ReadFile(tree, "a/absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	// A snapshot does not change when later commits follow.
	commit(t, l, write(map[string]string{"a/x": "changed"}))
	if b, err := fs.ReadFile(tree, "a/x"); err != nil || string(b) != "1" {
		t.Errorf("got %q, %v", b, err)
	}
}

// TestLedgerConcurrentWriters: ten writers, each with its own ledger, add lines to one file concurrently.
func TestLedgerConcurrentWriters(t *testing.T) {
	t.Parallel()
	const writers, each = 10, 4
	overAll(t, func(t *testing.T, p place) {
		var wg sync.WaitGroup
		for w := range writers {
			l := p.ledger(t, LedgerOptions{Tries: 200})
			wg.Go(func() {
				for n := range each {
					line := fmt.Sprintf("writer %d line %d", w, n)
					if _, err := l.Commit(t.Context(), line, func(tree fs.FS) (map[string][]byte, error) {
						old, err := fs.ReadFile(tree, "audit/all.jsonl")
						if err != nil && !errors.Is(err, fs.ErrNotExist) {
							return nil, err
						}
						return map[string][]byte{"audit/all.jsonl": append(old, line+"\n"...)}, nil
					}); err != nil {
						t.Errorf("%s: %v", line, err)
					}
				}
			})
		}
		wg.Wait()
		counts := map[string]int{}
		for _, line := range strings.Split(p.git(t, "show", "certroll/status:audit/all.jsonl"), "\n") {
			counts[line]++
		}
		for w := range writers {
			for n := range each {
				if line := fmt.Sprintf("writer %d line %d", w, n); counts[line] != 1 {
					t.Errorf("%q is there %d times", line, counts[line])
				}
			}
		}
		if got := p.git(t, "rev-list", "--count", "certroll/status"); got != fmt.Sprint(writers*each) {
			t.Errorf("there are %s commits, want %d", got, writers*each)
		}
		p.git(t, "fsck", "--strict", "--full")
	})
}

// TestLedgerRaceInsideTheRemote: a hook pushes between the ledger's fetch and the remote's compare-and-swap.
func TestLedgerRaceInsideTheRemote(t *testing.T) {
	overAll(t, func(t *testing.T, p place) {
		l := p.ledger(t, LedgerOptions{})
		commit(t, l, appendLine("log", "zero"))
		other := p.push(t, "aside", map[string]string{"x": "x"})
		p.hook(t, "pre-receive", `
[ -e raced ] && exit 0
touch raced
unset GIT_QUARANTINE_PATH
tree=$(git rev-parse `+other+`^{tree})
c=$(git -c user.name=x -c user.email=x@example.com commit-tree -p certroll/status -m other $tree)
git update-ref refs/heads/certroll/status $c
`)
		commit(t, l, appendLine("log", "one"))
		if got := p.git(t, "log", "--format=%s", "certroll/status"); got != "Test\nother\nTest" {
			t.Errorf("the history is %q", got)
		}
		// The hook's tree has only x; the ledger's line was committed on top of it.
		if got := p.git(t, "show", "certroll/status:log"); got != "one" {
			t.Errorf("the log is %q", got)
		}
	})
}

func TestLedgerPushRefused(t *testing.T) {
	overAll(t, func(t *testing.T, p place) {
		p.hook(t, "pre-receive", `
echo "GH006: Protected branch update failed for refs/heads/certroll/status." >&2
echo "Changes must be made through a pull request." >&2
exit 1
`)
		l := p.ledger(t, LedgerOptions{})
		_, err := l.Commit(t.Context(), "m", write(map[string]string{"a": "x"}))
		failure(t, err, fault.Refused, "pushing the ledger certroll/status at", "pre-receive hook declined",
			"Protected branch update failed", "through a pull request", "branch protection")
		// No object of the failed push is left.
		must(t, removeHook(p))
		if h := commit(t, l, write(map[string]string{"a": "x"})); h == "" {
			t.Error("after the refusal the ledger believes that it was pushed")
		}
	})
}

// TestLedgerBranchInTheWay: a branch named "certroll" prevents a branch "certroll/status". The error names this cause
// and is not a race.
func TestLedgerBranchInTheWay(t *testing.T) {
	overAll(t, func(t *testing.T, p place) {
		p.push(t, "certroll", map[string]string{"x": "x"})
		_, err := p.ledger(t, LedgerOptions{}).Commit(t.Context(), "m", write(map[string]string{"a": "x"}))
		failure(t, err, fault.Refused, "certroll")
	})
}

// TestLedgerAnswerLost: the remote accepts the push, and its response is lost.
func TestLedgerAnswerLost(t *testing.T) {
	tests := map[string]struct {
		after    func(t *testing.T, p *proxy) // runs between the lost response and the next fetch
		existing bool                         // the branch existed before
		commits  string
	}{
		"nobody else":                   {existing: true, commits: "2"},
		"nobody else, new branch":       {commits: "1"},
		"somebody on top":               {existing: true, commits: "3", after: onTop},
		"somebody on top of new branch": {commits: "2", after: onTop},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t)
			l := p.ledger(t, LedgerOptions{})
			if tc.existing {
				commit(t, l, write(map[string]string{"log": "zero\n"}))
			}
			lose := sync.OnceFunc(func() {
				if tc.after != nil {
					tc.after(t, p)
				}
			})
			lostOne := false
			p.set(func(w http.ResponseWriter, r *http.Request, pass func()) {
				if !strings.HasSuffix(r.URL.Path, "/git-receive-pack") || lostOne {
					pass()
					return
				}
				lostOne = true
				passQuietly(p, r)
				lose()
				hangUp(w)
			})
			h := commit(t, l, func(tree fs.FS) (map[string][]byte, error) {
				old, _ := fs.ReadFile(tree, "log")
				return map[string][]byte{"log": append(old, "ours\n"...)}, nil
			})
			if !lostOne {
				t.Fatal("no answer was lost")
			}
			if got := strings.Count(p.git(t, "show", "certroll/status:log"), "ours"); got != 1 {
				t.Errorf("our line is there %d times", got)
			}
			if got := p.git(t, "rev-list", "--count", "certroll/status"); got != tc.commits {
				t.Errorf("there are %s commits, want %s", got, tc.commits)
			}
			p.git(t, "merge-base", "--is-ancestor", h, "certroll/status")
		})
	}
}

func onTop(t *testing.T, p *proxy) {
	p.push(t, "certroll/status", map[string]string{"theirs": "x"})
}

// TestLedgerNeverAnswers: the ledger gives up on a remote that accepts pushes and never responds. The error contains
// the remote's text.
func TestLedgerNeverAnswers(t *testing.T) {
	p := newProxy(t)
	p.set(func(w http.ResponseWriter, r *http.Request, pass func()) {
		if strings.HasSuffix(r.URL.Path, "/git-receive-pack") {
			http.Error(w, "backend is down", http.StatusBadGateway)
			return
		}
		pass()
	})
	_, err := p.ledger(t, LedgerOptions{}).Commit(t.Context(), "m", write(map[string]string{"a": "x"}))
	failure(t, err, fault.Unreachable, "502", "backend is down")
}

func TestLedgerRewound(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spoil   func(t *testing.T, p place, first string)
		deleted bool
	}{
		"moved back": {spoil: func(t *testing.T, p place, first string) {
			p.git(t, "update-ref", "refs/heads/certroll/status", first)
		}},
		"rewritten": {spoil: func(t *testing.T, p place, _ string) {
			p.push(t, "aside", map[string]string{"x": "x"})
			p.git(t, "update-ref", "refs/heads/certroll/status", "refs/heads/aside")
		}},
		"deleted": {deleted: true, spoil: func(t *testing.T, p place, _ string) {
			p.git(t, "update-ref", "-d", "refs/heads/certroll/status")
		}},
	}
	restarts := map[string]struct{ before, after bool }{
		"in one process":         {},
		"over a restart before":  {before: true},
		"over a restart after":   {after: true},
		"over restarts all over": {before: true, after: true},
	}
	for name, tc := range tests {
		for when, restart := range restarts {
			t.Run(name+" "+when, func(t *testing.T) {
				p := local(t)
				o := LedgerOptions{CacheDir: t.TempDir()}
				l := p.ledger(t, o)
				again := func() {
					must(t, l.Close())
					l = p.ledger(t, o)
				}
				first := commit(t, l, appendLine("log", "one"))
				last := commit(t, l, appendLine("log", "two"))
				tc.spoil(t, p, first)
				if restart.before {
					again()
				}
				snapshot(t, l)
				if restart.after {
					again()
				}
				head := snapshot(t, l)
				old, now, ok := l.Rewound()
				if !ok || old != last || now != head || (now == "") != tc.deleted {
					t.Fatalf("Rewound: %s, %s, %v; want %s, %s", old, now, ok, last, head)
				}
				if _, _, ok := l.Rewound(); !ok {
					t.Error("it is told once only")
				}
				commit(t, l, appendLine("log", "told"))
				again()
				snapshot(t, l)
				if _, _, ok := l.Rewound(); ok {
					t.Error("it is told after a commit told it")
				}
			})
		}
	}
}

// TestLedgerRewoundAnswerLost: the remote stores the commit that records the rewind, and its response is lost.
func TestLedgerRewoundAnswerLost(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	o := LedgerOptions{CacheDir: t.TempDir()}
	l := p.ledger(t, o)
	first := commit(t, l, appendLine("log", "one"))
	commit(t, l, appendLine("log", "two"))
	p.git(t, "update-ref", "refs/heads/certroll/status", first)
	snapshot(t, l)
	if _, _, ok := l.Rewound(); !ok {
		t.Fatal("it is not told")
	}
	lost := false
	p.set(func(w http.ResponseWriter, r *http.Request, pass func()) {
		if !strings.HasSuffix(r.URL.Path, "/git-receive-pack") || lost {
			pass()
			return
		}
		lost = true
		passQuietly(p, r)
		hangUp(w)
	})
	commit(t, l, appendLine("log", "told"))
	if !lost {
		t.Fatal("no answer was lost")
	}
	must(t, l.Close())
	l = p.ledger(t, o)
	snapshot(t, l)
	if old, now, ok := l.Rewound(); ok {
		t.Errorf("it is told after a commit told it: %s, %s", old, now)
	}
}

// TestLedgerRewoundInsideCommit: a commit before the first call of Rewound does not hide the rewind.
func TestLedgerRewoundInsideCommit(t *testing.T) {
	p := local(t)
	l := p.ledger(t, LedgerOptions{CacheDir: t.TempDir()})
	first := commit(t, l, appendLine("log", "one"))
	last := commit(t, l, appendLine("log", "two"))
	p.git(t, "update-ref", "refs/heads/certroll/status", first)
	commit(t, l, appendLine("log", "three"))
	if old, _, ok := l.Rewound(); !ok || old != last {
		t.Errorf("Rewound: %s, %v; want %s", old, ok, last)
	}
}

// TestLedgerForwardIsNoRewind: commits pushed by others are not a rewind, however many there are and even if the cache
// lost its objects.
func TestLedgerForwardIsNoRewind(t *testing.T) {
	overAll(t, func(t *testing.T, p place) {
		o := LedgerOptions{CacheDir: t.TempDir()}
		l := p.ledger(t, o)
		commit(t, l, appendLine("log", "one"))
		for n := range 3 {
			p.push(t, "certroll/status", map[string]string{"n": fmt.Sprint(n)})
		}
		snapshot(t, l)
		must(t, l.store.Renew()) // loses the objects, keeps the head seen last
		l.store.Settle()
		p.push(t, "certroll/status", map[string]string{"n": "more"})
		must(t, l.Close())
		l = p.ledger(t, o)
		snapshot(t, l)
		if old, now, ok := l.Rewound(); ok {
			t.Errorf("Rewound: %s, %s", old, now)
		}
		commit(t, l, appendLine("log", "two"))
		if got := p.git(t, "show", "certroll/status:log"); got != "one\ntwo" {
			t.Errorf("the log is %q", got)
		}
	})
}

func snapshot(t testing.TB, l *Ledger) string {
	t.Helper()
	_, head, err := l.Snapshot(t.Context())
	must(t, err)
	return head
}

// TestLedgerCompacts: compaction keeps the head's files and drops the older history. Snapshots from before remain
// readable.
func TestLedgerCompacts(t *testing.T) {
	for mode, cached := range map[string]bool{"memory": false, "cache": true} {
		t.Run(mode, func(t *testing.T) {
			p := transports["http"](t)
			o := LedgerOptions{}
			if cached {
				o.CacheDir = t.TempDir()
			}
			l := p.ledger(t, o)
			l.store.Ripe = objects.Ripeness{Bytes: 1 << 40, Objects: 20}
			commit(t, l, write(map[string]string{"kept/file": "kept"}))
			before, _, err := l.Snapshot(t.Context())
			must(t, err)
			generation := l.store.State.Generation
			for n := 0; l.store.State.Generation == generation; n++ {
				if n == 50 {
					t.Fatal("it never compacts")
				}
				commit(t, l, appendLine("log", fmt.Sprintf("line %d", n)))
			}
			if b, err := fs.ReadFile(before, "kept/file"); err != nil || string(b) != "kept" {
				t.Errorf("an earlier snapshot: %q, %v", b, err)
			}
			p.push(t, "certroll/status", map[string]string{"theirs": "x"})
			commit(t, l, appendLine("log", "last"))
			tree, _, err := l.Snapshot(t.Context())
			must(t, err)
			for name, want := range map[string]string{"kept/file": "kept", "theirs": "x"} {
				if b, err := fs.ReadFile(tree, name); err != nil || string(b) != want {
					t.Errorf("%s: %q, %v", name, b, err)
				}
			}
			if _, _, ok := l.Rewound(); ok {
				t.Error("after a compaction a push counts as a rewind")
			}
		})
	}
}

// TestCostInRequests counts the requests that each operation sends to the remote.
func TestCostInRequests(t *testing.T) {
	const list, get = "info/refsservice=git-upload-pack", "git-upload-pack"
	const listPush, send = "info/refsservice=git-receive-pack", "git-receive-pack"
	p := newProxy(t)
	p.push(t, "main", map[string]string{"a.hcl": "1", "b.hcl": strings.Repeat("b", 1000)})
	s, l := p.source(t, SourceOptions{Ref: "main"}), p.ledger(t, LedgerOptions{})
	pinned := p.source(t, SourceOptions{Ref: p.git(t, "rev-parse", "main")})
	steps := []struct {
		name string
		do   func()
		want []string
	}{
		{"first fetch", func() { fetch(t, s) }, []string{list, get}},
		{"nothing new", func() { fetch(t, s) }, []string{list}},
		{"a push by somebody", func() { p.push(t, "main", map[string]string{"a.hcl": "2"}) }, nil},
		{"something new", func() { fetch(t, s) }, []string{list, get}},
		{"a commit, first", func() { fetch(t, pinned) }, []string{list, get}},
		{"a commit, again", func() { fetch(t, pinned) }, nil},
		{"first commit", func() { commit(t, l, appendLine("log", "one")) }, []string{list, listPush, send}},
		{"second commit", func() { commit(t, l, appendLine("log", "two")) }, []string{list, listPush, send}},
		{"no change", func() { commit(t, l, appendLine("log", "two")) }, []string{list}},
		{"others' push", func() { p.push(t, "certroll/status", map[string]string{"x": "x"}) }, nil},
		{"snapshot", func() { snapshot(t, l) }, []string{list, get}},
		{"snapshot again", func() { snapshot(t, l) }, []string{list}},
	}
	for _, step := range steps {
		step.do()
		if got := p.take(); !reflect.DeepEqual(got, step.want) {
			t.Errorf("%s: got %v, want %v", step.name, got, step.want)
		}
	}
}

// TestCostOfPushDoesNotGrow: a push sends only the objects on the path to the change, as deltas. A thousand commits or
// a long log cost no more than ten commits or a short log.
func TestCostOfPushDoesNotGrow(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	l := p.ledger(t, LedgerOptions{})
	files := map[string]string{}
	for n := range 2000 {
		files[fmt.Sprintf("certificates/c%04d.json", n)] = secret() + secret()
	}
	files["audit/2026/11.jsonl"] = "start\n"
	commit(t, l, write(files))
	packs := map[int]pack{}
	commits := 200
	if testing.Short() || labtest.Only() || labtest.Race {
		commits = 50
	}
	for n := 1; n <= commits; n++ {
		line := fmt.Sprintf("event %d %s", n, secret())
		commit(t, l, func(tree fs.FS) (map[string][]byte, error) {
			out, err := appendLine("audit/2026/11.jsonl", line)(tree)
			out["certificates/c1000.json"] = []byte(line)
			return out, err
		})
		if n == 10 || n == commits {
			packs[n] = p.lastPack()
		}
	}
	// Commit, root, audit, audit/2026, certificates, and the two files.
	if a, b := packs[10], packs[commits]; a.objects != 7 || b.objects != 7 || b.bytes > a.bytes+200 || b.bytes > 2000 {
		t.Errorf("after 10 commits %+v, after %d %+v", a, commits, b)
	}
	p.git(t, "fsck", "--full", "--strict")
}
