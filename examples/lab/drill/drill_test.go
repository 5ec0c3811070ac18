package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
)

// TestSmoke: a short drill with real servers succeeds.
func TestSmoke(t *testing.T) {
	t.Parallel()
	labtest.Pebble(t, lab.PebbleOptions{}) // skips the test if servers may not start
	var out bytes.Buffer
	o := options{certroll: programs(t), parts: "kill soak", seed: 778, certificates: 5, kills: 5,
		length: 5 * time.Minute, soak: 15 * time.Second, life: 20 * time.Second, out: &out}
	if err := drill(t.Context(), o); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		`kills +5\n`, `files of state_dir damaged +5\n`, `certificates, rounds +5, [2-5]\n`, `certificates issued, by the audit log +(10|15|20|25)\n`,
		`exit code of audit verify --anchor +0\n`, `checks that found an expired certificate +0\n`, `(?s)lost orders +0\n.*lost orders +0\n`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("the report has no %q:\n%s", want, out.String())
		}
	}
}

// TestReplicaIsCutOff runs the part replicas with one cut, and waits for the lease's end.
func TestReplicaIsCutOff(t *testing.T) {
	t.Parallel()
	if labtest.Only() {
		t.Skip("waits two minutes for leases to end; `make integration` runs it")
	}
	labtest.Pebble(t, lab.PebbleOptions{})
	var out bytes.Buffer
	o := options{certroll: programs(t), parts: "replicas", seed: 778, certificates: 5, length: time.Second, out: &out}
	if err := drill(t.Context(), o); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{`cut off from Vault +1\n`, `certificates issued, by the audit log +15\n`, `lost orders +0\n`, `doubled orders +0\n`} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("the report has no %q:\n%s", want, out.String())
		}
	}
}

// TestDrillFails: a broken certroll fails the drill. The table shows the failure, and
// the servers end.
func TestDrillFails(t *testing.T) {
	t.Parallel()
	labtest.Pebble(t, lab.PebbleOptions{})
	dir := t.TempDir()
	for _, name := range []string{"certroll", "certroll-dns"} {
		if err := lab.WriteProgram(filepath.Join(dir, name), []byte("#!/bin/sh\necho broken\nexit 3\n")); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	o := options{certroll: filepath.Join(dir, "certroll"), parts: "kill", seed: 1, certificates: 1, kills: 1, length: time.Minute, out: &out}
	err := drill(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "ended with exit code 3:\nbroken") {
		t.Errorf("%v", err)
	}
	if !strings.Contains(out.String(), "failures: 1, listed at the end") {
		t.Errorf("%s", out.String())
	}
}

// programs builds certroll and certroll-dns like make drill, and returns certroll's
// path.
func programs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-tags", "labproviders", "-o", dir+"/", "certroll/cmd/certroll", "certroll/cmd/certroll-dns")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building certroll: %v\n%s", err, out)
	}
	return filepath.Join(dir, "certroll")
}

// TestPartLimit checks that a long soak is not cut off by the length of the other parts.
func TestPartLimit(t *testing.T) {
	o := options{length: 10 * time.Minute, soak: 2 * time.Hour}
	for _, p := range parts {
		want := o.length + p.spare
		if p.name == "soak" {
			want = o.soak + p.spare
		}
		err := part{p.name, p.spare, func(ctx context.Context, _ options, _ *report) error {
			if until, ok := ctx.Deadline(); !ok || time.Until(until) > want || time.Until(until) < want-time.Minute {
				t.Errorf("%s ends in %s, want %s", p.name, time.Until(until), want)
			}
			return nil
		}}.within(t.Context(), o, nil)
		if err != nil {
			t.Error(err)
		}
	}
}

// TestChoose: the drill rejects an unknown part.
func TestChoose(t *testing.T) {
	for _, names := range []string{"", "kill sleep"} {
		if _, err := choose(names); err == nil {
			t.Errorf("%q: no error", names)
		}
	}
}

// TestJudge: the book distinguishes lost, doubled, unknown and late orders.
func TestJudge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		does     func(b *book)
		finished []string
		want     verdict
	}{
		"finished": {func(b *book) { b.made("u1", "a"); b.stored("u1") }, []string{"u1"}, verdict{orders: 1}},
		"known and forgotten": {func(b *book) { b.made("u1", "a"); b.stored("u1") }, nil,
			verdict{orders: 1, lost: []string{"order u1 of a was stored, and never finished"}}},
		"forgotten without a kill": {func(b *book) { b.made("u1", "a"); b.next(); b.made("u2", "a"); b.excuse() }, []string{"u2"},
			verdict{orders: 2, lost: []string{"order u1 of a was never stored, and nobody was killed"}}},
		"unknown after a kill": {func(b *book) { b.made("u1", "a"); b.excuse(); b.next(); b.made("u2", "a"); b.stored("u2") }, []string{"u2"},
			verdict{orders: 2, unknown: 1}},
		"doubled": {func(b *book) { b.made("u1", "a"); b.stored("u1"); b.excuse(); b.next(); b.made("u2", "a") }, []string{"u2"},
			verdict{orders: 2, doubled: []string{"a: order u2 was made while u1 was stored and unfinished"}}},
		"two certificates": {func(b *book) { b.made("u1", "a"); b.made("u2", "b") }, []string{"u1", "u2"}, verdict{orders: 2}},
		"stored too late":  {func(b *book) { b.made("u1", "a"); b.next(); b.made("u2", "a"); b.stored("u1") }, []string{"u2"}, verdict{orders: 2, late: 1}},
	} {
		b := newBook()
		c.does(b)
		finished := map[string]bool{}
		for _, url := range c.finished {
			finished[url] = true
		}
		if got := b.judge(finished); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// TestJudgeBoundsUnknown: one kill excuses as many orders as may be at work at once.
func TestJudgeBoundsUnknown(t *testing.T) {
	t.Parallel()
	b := newBook()
	for i := range mostUnknown + 1 {
		b.made(fmt.Sprint("u", i), fmt.Sprint("c", i))
	}
	b.excuse()
	if v := b.judge(nil); v.unknown != mostUnknown || len(v.lost) != 1 {
		t.Errorf("%+v", v)
	}
}

// TestReadHistory finds events recorded twice, and a missing version.
func TestReadHistory(t *testing.T) {
	t.Parallel()
	success := func(id, serial, url string, version int) event {
		return event{ID: id, Certificate: "a", Status: "success", NewSerial: serial, OrderURL: url, Version: version}
	}
	for name, c := range map[string]struct {
		events         []event
		repeated, gaps int
	}{
		"in order":       {[]event{success("1", "s1", "u1", 1), {ID: "f", Status: "failure"}, success("2", "s2", "u2", 2)}, 0, 0},
		"an event twice": {[]event{success("1", "s1", "u1", 1), {ID: "1", Status: "failure"}}, 1, 0},
		"an order twice": {[]event{success("1", "s1", "u1", 1), success("2", "s2", "u1", 2)}, 1, 0},
		"a serial twice": {[]event{success("1", "s1", "u1", 1), success("2", "s1", "u2", 2)}, 1, 0},
		"a gap":          {[]event{success("1", "s1", "u1", 1), success("2", "s2", "u2", 3)}, 0, 1},
	} {
		if h := readHistory(c.events); len(h.repeated) != c.repeated || len(h.gaps) != c.gaps {
			t.Errorf("%s: %+v", name, h)
		}
	}
}

// TestReportFails: an example of something that must not happen fails the drill by name.
func TestReportFails(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := &report{name: "kill", out: &out}
	r.none("lost orders", nil)
	if len(r.failures) != 0 {
		t.Errorf("%q", r.failures)
	}
	r.none("doubled orders", []string{"a", "b", "c", "d", "e", "f"})
	if len(r.failures) != 6 || r.failures[0] != "doubled orders: a" || r.failures[5] != "doubled orders: and 1 more" {
		t.Errorf("%q", r.failures)
	}
	r.print()
	if !strings.Contains(out.String(), "doubled orders  6\n") || !strings.Contains(out.String(), "failures: 6, ") {
		t.Errorf("%s", out.String())
	}
}

// TestFlat: growth from the middle to the end of a soak fails it.
func TestFlat(t *testing.T) {
	t.Parallel()
	for grows, failures := range map[int]int{0: 0, 4: 1} {
		k := &soaker{r: &report{}}
		for i := range 30 {
			k.used = append(k.used, usage{fds: 50 + grows*i})
		}
		k.flat("file descriptors", 5, func(u usage) int { return u.fds })
		if len(k.r.failures) != failures {
			t.Errorf("grows by %d a look: %q", grows, k.r.failures)
		}
	}
}

// TestUsageOf reads this process's own usage, on systems with /proc.
func TestUsageOf(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("needs Linux's /proc")
	}
	if u, ok := usageOf(os.Getpid()); !ok || u.fds < 3 || u.threads < 1 || u.rss < 1<<20 {
		t.Errorf("%+v %t", u, ok)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if got := processesOf(self); len(got) == 0 {
		t.Error("this process is not found by its program")
	}
	if got := processesOf(self + "x"); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// TestHarms: each harm changes a file of several lines as its name says.
func TestHarms(t *testing.T) {
	t.Parallel()
	const content = "first\nsecond\nthird\n"
	rng := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		for _, h := range harms {
			file := filepath.Join(t.TempDir(), "journal.jsonl")
			if err := os.WriteFile(file, []byte(content), 0o400); err != nil {
				t.Fatal(err)
			}
			if err := h.on(file, rng); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(file)
			ok := err == nil
			switch h.name {
			case "empty":
				ok = ok && len(got) == 0
			case "half":
				ok = ok && string(got) == content[:len(content)/2]
			case "nul":
				ok = ok && len(got) == len(content) && strings.HasPrefix(content, strings.TrimRight(string(got), "\x00"))
			case "torn":
				ok = ok && strings.HasPrefix(content[:len(content)-1], string(got)) && strings.HasPrefix(string(got), "first\nsecond\n")
			case "gone":
				ok = os.IsNotExist(err)
			}
			if !ok {
				t.Errorf("%s: %q, %v", h.name, got, err)
			}
		}
	}
}

// TestDamage: damage chooses files of all kinds, and describes each.
func TestDamage(t *testing.T) {
	t.Parallel()
	rng, seen := rand.New(rand.NewPCG(1, 1)), map[string]bool{}
	for range 200 {
		dir := t.TempDir()
		for _, name := range []string{"moments.json", "ledger/ledger-12ab/3/objects/aa/bb", "ledger/ledger-12ab/state.json"} {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("content\n"), 0o400); err != nil {
				t.Fatal(err)
			}
		}
		did, err := damage(dir, rng)
		if err != nil {
			t.Fatal(err)
		}
		seen[did] = true
	}
	for _, want := range []string{"gone moments.json", "nul ledger/*/*/objects", "empty ledger/*/state.json"} {
		if !seen[want] {
			t.Errorf("no %q in %v", want, seen)
		}
	}
	if did, err := damage(t.TempDir(), rng); err != nil || did != "nothing to damage" {
		t.Errorf("an empty directory: %q, %v", did, err)
	}
}

// TestLink: no data passes a cut link. Data that was sent meanwhile arrives when the
// link is restored, even if the sender is gone.
func TestLink(t *testing.T) {
	t.Parallel()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	lines := make(chan string)
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(c).ReadString('\n')
			lines <- line
			fmt.Fprint(c, "answer\n")
			c.Close()
		}
	}()
	l, err := startLink(server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	send := func(line string) net.Conn {
		c, err := net.Dial("tcp", l.addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, line)
		return c
	}
	c := send("one\n")
	if got := <-lines; got != "one\n" {
		t.Errorf("%q came through", got)
	}
	if got, _ := bufio.NewReader(c).ReadString('\n'); got != "answer\n" {
		t.Errorf("%q came back", got)
	}
	c.Close()
	l.set(true)
	const late = 5
	for range late {
		send("late\n").Close()
	}
	// The server receives data in order: data that passed the cut link would come first.
	direct, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(direct, "direct\n")
	if got := <-lines; got != "direct\n" {
		t.Errorf("%q passed a link that is cut", got)
	}
	direct.Close()
	l.set(false)
	for range late {
		if got := <-lines; got != "late\n" {
			t.Errorf("%q came after the link was mended", got)
		}
	}
	if err := l.close(); err != nil {
		t.Error(err)
	}
}
