//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"certroll/cmd/certroll/state"
	"certroll/examples/lab/labtest"
	"certroll/reconcile/ledger"
)

// stateKinds are all kinds of files in a state directory, with the commands that read them. A file that matches none
// fails the test: add its kind here.
var stateKinds = []struct {
	name   string
	area   string // files damaged together have different areas
	is     *regexp.Regexp
	always bool // the file always exists
}{
	{"moments", "moments", regexp.MustCompile(`^moments\.json$`), true},
	{"last good revision", "last good", regexp.MustCompile(`^last-good\.json$`), true},
	{"set aside", "set aside", regexp.MustCompile(`^(moments|last-good|ledger/[^/]+/state|repo/[^/]+/state)\.json\.bad$`), false},
	{"journal", "journal", regexp.MustCompile(`^journal-[^/]+/journal$`), true},
	{"journal lock", "journal", regexp.MustCompile(`^journal-[^/]+/lock$`), true},
	{"ledger state", "ledger", regexp.MustCompile(`^ledger/[^/]+/state\.json$`), true},
	{"ledger lock", "ledger", regexp.MustCompile(`^ledger/[^/]+/lock$`), true},
	{"ledger object", "ledger", regexp.MustCompile(`^ledger/[^/]+/\d+/objects/[0-9a-f]{2}/[0-9a-f]{38}$`), true},
	{"ledger pack", "ledger", regexp.MustCompile(`^ledger/[^/]+/\d+/objects/pack/pack-[0-9a-f]{40}\.pack$`), true},
	{"ledger index", "ledger", regexp.MustCompile(`^ledger/[^/]+/\d+/objects/pack/pack-[0-9a-f]{40}\.(idx|rev)$`), true},
	{"repo state", "repo", regexp.MustCompile(`^repo/[^/]+/state\.json$`), true},
	{"repo lock", "repo", regexp.MustCompile(`^repo/[^/]+/lock$`), true},
	{"repo pack", "repo", regexp.MustCompile(`^repo/[^/]+/\d+/objects/pack/pack-[0-9a-f]{40}\.pack$`), true},
	{"repo index", "repo", regexp.MustCompile(`^repo/[^/]+/\d+/objects/pack/pack-[0-9a-f]{40}\.(idx|rev)$`), true},
}

// damages are the kinds of damage to a file.
var damages = map[string]func(path string, b []byte) error{
	"empty": func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o600) },
	"cut":   func(path string, b []byte) error { return os.WriteFile(path, b[:len(b)/2], 0o600) },
	"NUL":   func(path string, b []byte) error { return os.WriteFile(path, make([]byte, len(b)), 0o600) },
	"torn": func(path string, b []byte) error {
		return os.WriteFile(path, append(bytes.Clone(b[:len(b)/2]), make([]byte, len(b)-len(b)/2)...), 0o600)
	},
	"longer": func(path string, b []byte) error {
		return os.WriteFile(path, append(bytes.Clone(b), "garbage\n"...), 0o600)
	},
	"gone": func(path string, _ []byte) error { return os.Remove(path) },
	"a directory": func(path string, _ []byte) error {
		return cmpErr(os.Remove(path), func() error { return os.MkdirAll(filepath.Join(path, "below"), 0o700) })
	},
	"unreadable": func(path string, _ []byte) error { return os.Chmod(path, 0) },
	"read-only":  func(path string, _ []byte) error { return os.Chmod(path, 0o400) },
}

func cmpErr(err error, next func() error) error {
	if err != nil {
		return err
	}
	return next()
}

// refuses reports whether certroll cannot repair a damage by itself. It then names the file and orders nothing until a
// person has fixed it.
func refuses(kind, how string) bool {
	return strings.HasPrefix(kind, "journal") && slices.Contains([]string{"a directory", "unreadable", "read-only"}, how)
}

// stateCase is one damage to one kind of file.
type stateCase struct{ kind, area, how string }

func (c stateCase) String() string { return c.kind + " " + c.how }

// stateRounds returns the cases in random order, with the given number for each kind. together damages one file of each
// area at once: the test is faster, but a failure says less about its cause.
func stateRounds(dice *rand.Rand, each int, together bool) (rounds [][]stateCase) {
	queues := map[string][]stateCase{}
	for _, kind := range stateKinds {
		hows := slices.Sorted(maps.Keys(damages))
		dice.Shuffle(len(hows), func(i, j int) { hows[i], hows[j] = hows[j], hows[i] })
		for _, how := range hows[:min(each, len(hows))] {
			area := kind.area
			if !together {
				area = kind.name + how
			}
			queues[area] = append(queues[area], stateCase{kind.name, kind.area, how})
		}
	}
	for _, area := range slices.Sorted(maps.Keys(queues)) {
		for i, c := range queues[area] {
			if !together {
				i = len(rounds)
			}
			if i == len(rounds) {
				rounds = append(rounds, nil)
			}
			rounds[i] = append(rounds[i], c)
		}
	}
	return rounds
}

// stateFiles returns the files of a state directory, by kind.
func (w *world) stateFiles() map[string][]string {
	w.t.Helper()
	files, state := map[string][]string{}, filepath.Join(w.dir, "state")
	err := filepath.WalkDir(state, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(state, path)
		name := filepath.ToSlash(rel)
		for _, kind := range stateKinds {
			if kind.is.MatchString(name) {
				files[kind.name] = append(files[kind.name], path)
				return err
			}
		}
		w.t.Errorf("a file of the state directory that no test damages: %s", name)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return files
}

// unprivileged makes certroll start without root's power over files. It returns false if the machine does not permit
// that.
func (w *world) unprivileged() bool {
	if os.Geteuid() != 0 {
		return true
	}
	attr := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: 0, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: 0, Size: 1}},
	}
	try := exec.CommandContext(w.t.Context(), "true")
	if try.SysProcAttr = attr; try.Run() != nil {
		return false
	}
	w.attr = attr
	return true
}

// seedVariable sets the seed, to repeat a random run of TestDamagedState.
const seedVariable = "CERTROLL_TEST_SEED"

func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d repeats this", seedVariable, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// TestDamagedState: after any damage to any file in the state directory, apply and run do what is due by themselves.
// They order nothing twice, lose and duplicate no event, name the damage in at most one warning, and do not blame the
// remote. A damage that certroll cannot repair is an error before the order.
func TestDamagedState(t *testing.T) {
	t.Parallel()
	s := newStateWorld(t)
	dice := seeded(t)
	each, together := 2, true
	if !labtest.Only() && !labtest.Race { // make integration runs all cases
		each, together = len(damages), false
	}
	for i, round := range stateRounds(dice, each, together) {
		names := make([]string, len(round))
		for j, c := range round {
			names[j] = c.String()
		}
		t.Run(fmt.Sprintf("%d %s", i, strings.Join(names, ", ")), func(t *testing.T) { s.round(t, dice, round) })
	}
	for _, kind := range stateKinds {
		if kind.always && s.damaged[kind.name] == 0 {
			t.Errorf("no file of the kind %q was damaged", kind.name)
		}
	}
}

// stateWorld is a world in which one certificate is rotated repeatedly.
type stateWorld struct {
	*world
	front   *front
	version int            // the secret's expected version
	damaged map[string]int // by kind
	mayHide bool           // files can be made unreadable
	unread  []string       // damaged files that only apply has read since; run may warn of them
}

func newStateWorld(t *testing.T) *stateWorld {
	w, f := newLab(t).faulty(t, declare("", "api"))
	server := labtest.GitHTTP(t)
	url, err := server.Create("config")
	if err != nil {
		t.Fatal(err)
	}
	w.repo, w.repoURL, w.repoMore = server.Path("config"), url, httpAuth(server)
	w.env = append(w.env, "CERTROLL_GIT_TOKEN="+server.Token)
	w.settings(`interval = "1s"`)
	s := &stateWorld{world: w, front: f, damaged: map[string]int{}}
	s.mayHide = w.unprivileged()
	s.wantNext()
	s.run(false) // creates every kind of file
	s.checkAll()
	return s
}

// wantNext declares a rotation, so that something is due.
func (s *stateWorld) wantNext() {
	s.t.Helper()
	s.version++
	s.push(declare(fmt.Sprintf("rotate = \"%d\"", s.version), "api"), "Rotate it")
}

// leaveUntold leaves an event in the journal that Git rejected.
func (s *stateWorld) leaveUntold() {
	s.t.Helper()
	s.wantNext()
	s.front.breaks(before(finalization, func() {
		if err := os.Rename(s.repo, s.repo+".away"); err != nil {
			s.t.Error(err)
		}
	}))
	s.certroll(1, "apply", "-auto-approve")
	s.front.mend()
	if err := os.Rename(s.repo+".away", s.repo); err != nil {
		s.t.Fatal(err)
	}
	if n := s.journalled(s.serial("api")); n != 1 {
		s.t.Errorf("the journal has %d entries of what Git did not take, want 1", n)
	}
}

// round damages files while something is due, and runs certroll.
func (s *stateWorld) round(t *testing.T, dice *rand.Rand, round []stateCase) {
	was := s.t
	s.t = t
	defer func() { s.t = was }()
	if packed := s.stateFiles()["ledger pack"]; len(packed) == 0 && slices.ContainsFunc(round, func(c stateCase) bool { return c.kind == "ledger pack" || c.kind == "ledger index" }) {
		if err := os.RemoveAll(filepath.Join(s.dir, "state", "ledger")); err != nil {
			t.Fatal(err)
		}
		s.certroll(0, "apply", "-auto-approve") // fetches the ledger as a pack
	}
	if slices.ContainsFunc(round, func(c stateCase) bool { return c.kind == "journal" }) {
		s.leaveUntold()
	}
	s.wantNext()
	var hurt []string // paths
	var refused string
	var remedy func()
	for _, c := range round {
		files := s.stateFiles()[c.kind]
		if len(files) == 0 || c.how == "unreadable" && !s.mayHide {
			continue
		}
		path := files[dice.IntN(len(files))]
		s.damage(c, path)
		s.damaged[c.kind]++
		hurt = append(hurt, path)
		if refuses(c.kind, c.how) {
			refused, remedy = path, func() { s.mend(c, path) }
		}
	}
	daemon := dice.IntN(2) == 0
	if refused != "" {
		s.refusesFor(refused)
		remedy()
	}
	out := s.run(!daemon)
	s.checkAll()
	s.unread = append(s.unread, hurt...)
	s.checkWords(out, s.unread)
	if daemon {
		s.unread = nil
	}
	for _, path := range hurt { // a damaged lock file stays, with a warning at each start
		if info, err := os.Lstat(path); err == nil && strings.HasSuffix(path, "/lock") {
			s.mend(stateCase{how: map[bool]string{true: "a directory"}[info.IsDir()]}, path)
		}
	}
}

func (s *stateWorld) damage(c stateCase, path string) {
	s.t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err == nil {
		err = damages[c.how](path, b)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// mend makes the repair that certroll leaves to a person.
func (s *stateWorld) mend(c stateCase, path string) {
	s.t.Helper()
	var err error
	if c.how == "a directory" {
		err = os.RemoveAll(path)
	} else {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// refusesFor requires that both commands fail, name the file and send nothing to the CA.
func (s *stateWorld) refusesFor(path string) {
	s.t.Helper()
	asked := s.front.count("/")
	for _, args := range [][]string{{"apply", "-auto-approve"}, {"run"}} {
		out := s.certroll(1, args...)
		if !strings.Contains(out, filepath.Dir(path)) || !strings.Contains(out, "this user may") && !strings.Contains(out, "move that directory away") {
			s.t.Errorf("certroll %s does not say what to do about %s:\n%s", args[0], path, out)
		}
	}
	if n := s.front.count("/") - asked; n > 0 {
		s.t.Errorf("the CA was asked %d times though nothing could be recorded", n)
	}
}

// run makes apply or a daemon do what is due.
func (s *stateWorld) run(once bool) string {
	s.t.Helper()
	if once {
		out := s.certroll(0, "apply", "-auto-approve")
		if len(s.successes()) == s.version-1 { // this run recorded what the journal had lost; the next one continues
			s.certroll(0, "apply", "-auto-approve")
		}
		return out
	}
	cmd, out := s.startRun()
	s.until("what is due", out, func() bool { return len(s.successes()) >= s.version })
	s.until("the last good revision on the disk", out, func() bool {
		b, err := os.ReadFile(filepath.Join(s.dir, "state", state.LastGoodFile))
		return err == nil && strings.Contains(string(b), s.git("rev-parse", "main"))
	})
	s.stopRun(cmd, out)
	return out.String()
}

// successes returns the versions of the secret in the ledger's success events.
func (s *stateWorld) successes() (versions []int) {
	s.t.Helper()
	if s.countEvents(string(ledger.KindIssue), string(ledger.Success)) == 0 {
		return nil
	}
	for _, e := range s.story("api") {
		versions = append(versions, e.VaultVer)
	}
	return versions
}

// checkAll compares the CA, Vault and the ledger with the requested rotations.
func (s *stateWorld) checkAll() {
	s.t.Helper()
	want := make([]int, s.version)
	for i := range want {
		want[i] = i + 1
	}
	if got := s.successes(); !slices.Equal(got, want) {
		s.t.Errorf("the ledger tells of the versions %v, want %v", got, want)
	}
	if got := s.metadata("tls/api").Data.CurrentVersion; got != s.version {
		s.t.Errorf("the secret is at version %d, want %d", got, s.version)
	}
	s.front.orders(s.version, s.version)
	if n := s.journalled("api"); n > 0 {
		s.t.Errorf("%d events are left in the journal", n)
	}
}

// blames matches text that would make an operator suspect the remote.
var blames = regexp.MustCompile(`remote unreachable|can be reached|closed the connection|in pkt-line|invalid pkt`)

// checkWords requires at most one warning for each damaged file, and none about the remote.
func (s *stateWorld) checkWords(out string, hurt []string) {
	s.t.Helper()
	if said := blames.FindString(out); said != "" {
		s.t.Errorf("it says %q, and a local file is damaged:\n%s", said, out)
	}
	warnings := 0
	for line := range strings.Lines(out) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") || strings.HasPrefix(line, "Warning") {
			warnings++
		}
	}
	if warnings > len(hurt) {
		s.t.Errorf("%d warnings of %d damaged files (%s):\n%s", warnings, len(hurt), strings.Join(hurt, ", "), out)
	}
}
