package daemon

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"certroll/cmd/certroll/settings"
	"certroll/reconcile"
	"certroll/reconcile/apply"
	"certroll/reconcile/attempt"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
)

// documentedLogs returns the messages and keys in docs/logs.md.
func documentedLogs(t *testing.T) (messages, keys map[string]bool) {
	t.Helper()
	b, err := os.ReadFile("../../../docs/logs.md")
	if err != nil {
		t.Fatal(err)
	}
	messages, keys = map[string]bool{}, map[string]bool{}
	quoted := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !strings.HasPrefix(line, "| `") {
			continue
		}
		for _, m := range quoted.FindAllStringSubmatch(cells[1], -1) {
			messages[m[1]] = true
		}
		for _, k := range quoted.FindAllStringSubmatch(cells[4], -1) {
			keys[k[1]] = true
		}
	}
	return messages, keys
}

// loggedInSource returns the messages above level debug in the source, and their keys: the string arguments of a
// logger's methods.
func loggedInSource(t *testing.T) (messages, keys map[string]bool) {
	t.Helper()
	messages, keys = map[string]bool{}, map[string]bool{}
	err := filepath.WalkDir("../../..", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != "../../.." && (strings.HasPrefix(e.Name(), ".") || e.Name() == "lab"):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if said := logged(call); len(said) > 0 {
					messages[said[0]] = true
					for _, k := range said[1:] {
						keys[k] = true
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return messages, keys
}

// loggers are the names of variables and fields that contain a logger.
var loggers = []string{"log", "Log", "logger", "Logger"}

// logged returns the message and the keys of a call to a logger, or none for another call.
func logged(call *ast.CallExpr) []string {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return nil
	}
	switch on := method.X.(type) {
	case *ast.Ident:
		ok = slices.Contains(loggers, on.Name)
	case *ast.SelectorExpr:
		ok = slices.Contains(loggers, on.Sel.Name)
	default:
		ok = false
	}
	from := map[string]int{"Info": 0, "Warn": 0, "Error": 0, "Log": 2}
	first, is := from[method.Sel.Name]
	if !ok || !is {
		return nil
	}
	var said []string
	for i := first; i < len(call.Args); i++ {
		if i > first && (i-first)%2 == 0 {
			continue // a value
		}
		literal, ok := call.Args[i].(*ast.BasicLit)
		if !ok {
			break
		}
		s, _ := strconv.Unquote(literal.Value)
		said = append(said, s)
	}
	return said
}

// TestLogsDocumented: docs/logs.md lists exactly the messages above level debug and their keys.
func TestLogsDocumented(t *testing.T) {
	messages, keys := loggedInSource(t)
	for _, both := range failing {
		messages[both[0]], messages[both[1]] = true, true
	}
	var out bytes.Buffer
	fullDecisions(newDecisions(slog.New(slog.NewJSONHandler(&out, nil))))
	for _, l := range linesOf(t, out.String()) {
		for k := range l {
			if k != slog.TimeKey && k != slog.LevelKey && k != slog.MessageKey {
				keys[k] = true
			}
		}
	}
	haveMessages, haveKeys := documentedLogs(t)
	same(t, "message", messages, haveMessages)
	same(t, "key", keys, haveKeys)
}

func same(t *testing.T, what string, used, documented map[string]bool) {
	t.Helper()
	for _, u := range slices.Sorted(maps.Keys(used)) {
		if !documented[u] {
			t.Errorf("the %s %q is not in docs/logs.md", what, u)
		}
	}
	for _, d := range slices.Sorted(maps.Keys(documented)) {
		if !used[d] {
			t.Errorf("the %s %q is in docs/logs.md and nothing logs it", what, d)
		}
	}
}

// fullDecisions logs everything that a decision can contain.
func fullDecisions(d *decisions) {
	d.pass(reconcile.Pass{Err: errors.New("Vault is sealed"), Report: &apply.Report{}})
	d.ended(attempt.Result{
		Action: plan.Action{Certificate: "api"}, Err: errors.New("refused"),
		Event: ledger.Event{Operation: ledger.KindRenew, Status: ledger.Failed, Reason: ledger.ReasonThreshold, Class: ledger.ClassCAA,
			Message: "no", Severity: ledger.SeverityPage, Issuer: "le", DNSAccount: "b", PassedOver: []ledger.PassedOver{{Account: "a"}},
			VaultPath: "secret/tls/api", VaultVer: 3, NewSerial: "02", OldSerial: "01", Failures: 3, Duration: 1.5},
	})
}

// said runs steps over one log and returns its messages.
func said(t *testing.T, steps func(*decisions)) []string {
	t.Helper()
	var out bytes.Buffer
	steps(newDecisions(slog.New(slog.NewJSONHandler(&out, nil))))
	var list []string
	for _, l := range linesOf(t, out.String()) {
		list = append(list, strings.TrimSpace(l.text("msg")+" "+l.text("certificate")+l.text("subject")))
	}
	return list
}

// TestDecisionsOnce: a decision that lasts for many passes is logged when it begins, when it changes, and when it ends.
func TestDecisionsOnce(t *testing.T) {
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	own := func(until time.Time) plan.Action {
		return plan.Action{Certificate: "api", Kind: ledger.KindHold, Wants: ledger.KindRenew, Reason: ledger.ReasonBackoff, NotBefore: until}
	}
	limited := func(name string, until time.Time) plan.Action {
		return plan.Action{Certificate: name, Kind: ledger.KindHold, Wants: ledger.KindIssue, Reason: ledger.ReasonLimit, HeldBy: "issuer.le orders", NotBefore: until}
	}
	idle := plan.Action{Certificate: "api", Kind: ledger.KindNone}
	due := plan.Action{Certificate: "api", Kind: ledger.KindRenew, Reason: ledger.ReasonThreshold}
	stand := func(d *decisions, actions ...plan.Action) {
		d.pass(reconcile.Pass{After: plan.Plan{Observed: &plan.Observed{}, Actions: actions}})
	}
	trip := []plan.Tripped{{Subject: "dns.lab", Class: ledger.ClassDNSUnauthorized, Since: at, Certificates: 3}}
	for name, c := range map[string]struct {
		steps func(*decisions)
		want  []string
	}{
		"a hold of its own": {func(d *decisions) {
			stand(d, own(at))
			stand(d, own(at))
			stand(d, own(at.Add(time.Hour)))
			stand(d, idle)
			stand(d, idle)
		}, []string{"held api", "held api", "held no more api"}},
		"a limit whose moments move": {func(d *decisions) {
			stand(d, limited("a", at), limited("b", at.Add(time.Minute)))
			stand(d, limited("a", at.Add(time.Hour)), limited("b", at.Add(2*time.Hour)))
			stand(d, limited("b", at.Add(2*time.Hour)))
			stand(d, idle)
		}, []string{"held together issuer.le orders", "held together no more issuer.le orders"}},
		"an account": {func(d *decisions) {
			for range 2 {
				d.pass(reconcile.Pass{After: plan.Plan{Observed: &plan.Observed{}, Actions: []plan.Action{idle}}, Tripped: trip})
			}
			d.pass(reconcile.Pass{Err: errors.New("Vault is away")}) // the state is unknown
			d.pass(reconcile.Pass{After: plan.Plan{Observed: &plan.Observed{}, Actions: []plan.Action{idle}}, Tripped: trip})
			stand(d, idle)
		}, []string{"tripped dns.lab", "pass failed", "pass works again", "admitted dns.lab"}},
		"a plan that waits for the lease": {func(d *decisions) {
			d.plan([]plan.Action{due})
			d.plan([]plan.Action{due})
			d.ended(attempt.Result{Action: due})
			d.plan([]plan.Action{due})
		}, []string{"planned api", "action api", "planned api"}},
		"errors that differ in a port": {func(d *decisions) {
			d.failing("pull", errors.New("dial 127.0.0.1:4000: refused"))
			d.failing("pull", errors.New("dial 127.0.0.1:4001: refused"))
			d.failing("pull", errors.New("no such repository"))
			d.failing("pull", nil)
			d.failing("pull", nil)
		}, []string{"pull failed", "pull failed", "pull works again"}},
	} {
		if got := said(t, c.steps); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
	}
}

// TestStartedIsFirst: the log line about the start precedes every other line, including those about the settings.
func TestStartedIsFirst(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	s := &settings.Settings{Interval: time.Minute, Repo: &settings.Repo{}, Ledger: &settings.Ledger{}}
	if err := enough(s, ""); err == nil {
		t.Error("run begins without a config repo")
	}
	if log.Len() > 0 {
		t.Errorf("a run that does not start logs %s", &log)
	}
	started(Options{}, s, logger)
	first, rest, _ := strings.Cut(log.String(), "\n")
	if !strings.Contains(first, "msg=started") || !strings.Contains(rest, "no certroll.hcl found") {
		t.Errorf("the log begins with\n%s", &log)
	}
}
