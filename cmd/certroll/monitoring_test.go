package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"certroll/cmd/certroll/metrics/metricstest"
	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
)

const monitoring = "../../examples/monitoring/"

// alertRule is a rule in examples/monitoring/rules.yml.
type alertRule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

type ruleFile struct {
	Groups []struct {
		Name     string       `yaml:"name"`
		Interval string       `yaml:"interval,omitempty"`
		Rules    []*alertRule `yaml:"rules"`
	} `yaml:"groups"`
}

func monitoringFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(monitoring + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func alertRules(t *testing.T) (f ruleFile, all []*alertRule) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(monitoringFile(t, "rules.yml")), &f); err != nil {
		t.Fatal(err)
	}
	for _, g := range f.Groups {
		all = append(all, g.Rules...)
	}
	return f, all
}

// panel is a panel of the dashboard, with its queries.
type panel struct {
	Title   string
	GridPos struct{ X, Y, W, H int }
	Targets []struct{ Expr string }
}

type dashboard struct {
	UID           string
	SchemaVersion int
	Panels        []panel
	Templating    struct {
		List []struct{ Name, Type, Query string }
	}
}

func theDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(monitoringFile(t, "dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// promtool runs promtool, which must succeed.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	labtest.Needs(t, "promtool")
	program, err := lab.Find("promtool")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestAlertRules: promtool's tests of the rules pass, and each rule has one.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	tests, readme := monitoringFile(t, "rules_test.yml"), monitoringFile(t, "README.md")
	_, rules := alertRules(t)
	for _, r := range rules {
		if !strings.Contains(tests, fmt.Sprintf("{alertname=%q, alertstate=\"firing\"", r.Alert)) {
			t.Errorf("no test has %s fire", r.Alert)
		}
		if s := r.Labels["severity"]; s != "critical" && s != "warning" || !strings.Contains(readme, fmt.Sprintf("| `%s` | %s |", r.Alert, s)) {
			t.Errorf("%s has the severity %q, or another one in README.md", r.Alert, s)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s does not say what is wrong and what to do", r.Alert)
		}
		linked(t, r.Alert, r.Annotations["docs"])
	}
	t.Run("promtool", func(t *testing.T) { promtool(t, "test", "rules", monitoring+"rules_test.yml") })
}

var notInAnchor = regexp.MustCompile(`[^a-z0-9 -]`)

// linked requires that the link's page in docs exists and has the heading.
func linked(t *testing.T, who, link string) {
	t.Helper()
	file, anchor, _ := strings.Cut(link, "#")
	b, err := os.ReadFile("../../" + file)
	if err != nil {
		t.Errorf("%s: %v", who, err)
	}
	anchors := []string{""}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(b), -1) {
		anchors = append(anchors, strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	if !slices.Contains(anchors, anchor) {
		t.Errorf("%s: %s has no heading #%s", who, file, anchor)
	}
}

var (
	metricName = regexp.MustCompile(`\bcertroll_[a-z_]+`)
	quoted     = regexp.MustCompile(`"[^"]*"`)
	matchers   = regexp.MustCompile(`\{([^}]*)\}`)
	grouping   = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right) ?\(([^)]*)\)`)
	labelName  = regexp.MustCompile(`[a-z_]+`)
	labelUsed  = regexp.MustCompile(`\$labels\.([a-z_]+)`)
)

// TestMonitoringIsDocumented: every metric and label in a query is in docs/metrics.md.
func TestMonitoringIsDocumented(t *testing.T) {
	labels := map[string][]string{}
	for _, row := range metricstest.Documented(t, "../..", "certroll_[a-z_]+") {
		name := metricstest.Codes(row[0])[0]
		labels[name] = metricstest.Codes(row[1])
		for _, more := range []string{"_bucket", "_sum", "_count"} {
			if strings.Contains(row[len(row)-1], "a histogram") {
				labels[name+more] = append([]string{"le"}, labels[name]...)
			}
		}
	}
	check := func(who, expr, more string) {
		may := []string{"job", "instance"} // added by Prometheus
		for _, name := range metricName.FindAllString(expr, -1) {
			if _, ok := labels[name]; !ok {
				t.Errorf("%s names %s, which docs/metrics.md does not have", who, name)
			}
			may = append(may, labels[name]...)
		}
		var used []string
		for _, m := range slices.Concat(matchers.FindAllStringSubmatch(quoted.ReplaceAllString(expr, ""), -1), grouping.FindAllStringSubmatch(expr, -1)) {
			used = append(used, labelName.FindAllString(m[1], -1)...)
		}
		for _, m := range labelUsed.FindAllStringSubmatch(more, -1) {
			used = append(used, m[1])
		}
		for _, l := range used {
			if !slices.Contains(may, l) {
				t.Errorf("%s uses the label %s, which its metrics do not have: %s", who, l, expr)
			}
		}
	}
	_, rules := alertRules(t)
	for _, r := range rules {
		check(r.Alert, r.Expr, r.Annotations["summary"]+r.Annotations["description"])
	}
	for _, p := range theDashboard(t).Panels {
		for _, q := range p.Targets {
			check(p.Title, q.Expr, "")
		}
	}
}

// TestDashboard: Grafana can import the dashboard, and no two panels overlap.
func TestDashboard(t *testing.T) {
	d := theDashboard(t)
	if v := d.Templating.List; d.UID == "" || d.SchemaVersion == 0 || len(v) != 1 || v[0].Name != "datasource" || v[0].Query != "prometheus" {
		t.Errorf("uid %q, schemaVersion %d, variables %v", d.UID, d.SchemaVersion, v)
	}
	if n := strings.Count(monitoringFile(t, "dashboard.json"), `"uid": "${datasource}"`); n != len(d.Panels) {
		t.Errorf("%d of %d panels ask the data source that is chosen", n, len(d.Panels))
	}
	for i, p := range d.Panels {
		for _, q := range d.Panels[:i] {
			a, b := p.GridPos, q.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H || a.X+a.W > 24 {
				t.Errorf("%q lies over %q, or out of the grid", p.Title, q.Title)
			}
		}
	}
}

// TestPrometheus: a Prometheus with the example configuration scrapes a daemon that cannot issue one of its
// certificates. Every query has a result, the failure raises an alert, and no alert is critical.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, declare(fmt.Sprintf("probe = [%q]", labtest.Addr(t)), "api"))
	w.shortToken()
	tokenFile := filepath.Join(w.dir, "listen-token")
	if err := os.WriteFile(tokenFile, []byte("a token of this test alone"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.settings(w.blocks(newReceiver(t)) + fmt.Sprintf("listen_token_file = %q\nprobe {\n allow = [\"127.0.0.1:*\"]\n interval = \"1s\"\n}\n", tokenFile))
	w.editSettings(func(text string) string {
		return strings.Replace(text, "terms_of_service_agreed = true", "terms_of_service_agreed = true\n  limits {\n    orders = \"300/3h\"\n  }", 1)
	})
	cmd, out := w.startRun()
	w.until("the certificate", out, func() bool { return w.countEvents("issue", "success") == 1 })
	w.dns.FailUpdates(lab.Refuse)
	w.push(map[string]string{"more.hcl": strings.ReplaceAll(oneCertificate, "api", "more")}, "Declare another")
	w.until("the failure", out, func() bool { return w.countEvents("issue", "failure") == 1 })

	p := w.startPrometheus(tokenFile, regexp.MustCompile(`msg=listening address=(\S+)`).FindStringSubmatch(out.String())[1])
	want := []string{"CertrollCertificateFailing more", "CertrollProbeNotCurrent api"}
	var got []string
	w.until("the alerts", p.output(), func() bool {
		got = p.firing()
		return slices.Equal(got, want)
	})
	mayBeEmpty := map[string]bool{"Newest revision held back": true, "Age of the oldest unpushed event": true}
	for _, panel := range theDashboard(t).Panels {
		for _, q := range panel.Targets {
			if n := p.query(q.Expr); n == 0 && !mayBeEmpty[panel.Title] {
				t.Errorf("%s: there is nothing to show for %s", panel.Title, q.Expr)
			}
		}
	}
	_, rules := alertRules(t)
	for _, r := range rules {
		p.query(r.Expr)
	}
	w.stopRun(cmd, out)
	w.noSecrets(p.Logs())
}

// shortToken gives certroll a token that expires.
func (w *world) shortToken() {
	w.t.Helper()
	var login struct {
		Auth struct {
			Token string `json:"client_token"`
		} `json:"auth"`
	}
	w.api(http.MethodPost, "auth/token/create", map[string]any{"policies": []string{"root"}, "ttl": "1h"}, &login)
	w.token = login.Auth.Token
}

// scraper is a Prometheus that scrapes a daemon.
type scraper struct {
	*lab.Process
	t    *testing.T
	addr string
}

// startPrometheus uses the example's configuration and rules, with all intervals shortened to a second.
func (w *world) startPrometheus(tokenFile, target string) *scraper {
	t := w.t.(*testing.T)
	t.Helper()
	file, _ := alertRules(t)
	for i := range file.Groups {
		file.Groups[i].Interval = "1s"
		for _, r := range file.Groups[i].Rules {
			r.For = ""
		}
	}
	rules, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	config := monitoringFile(t, "prometheus.yml")
	for old, anew := range map[string]string{"30s": "1s", "/etc/prometheus/certroll-token": tokenFile, "127.0.0.1:9464": target} {
		if !strings.Contains(config, old) {
			t.Fatalf("prometheus.yml does not hold %s", old)
		}
		config = strings.ReplaceAll(config, old, anew)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"rules.yml": string(rules), "prometheus.yml": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	promtool(t, "check", "config", filepath.Join(dir, "prometheus.yml"))
	p := &scraper{t: t, addr: labtest.Addr(t)}
	p.Process = labtest.Program(t, dir, nil, "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address="+p.addr)
	return p
}

// output returns the log so far, for a failure message.
func (p *scraper) output() *output {
	o := &output{}
	fmt.Fprint(o, p.Logs())
	return o
}

// ask decodes a response of Prometheus's API.
func (p *scraper) ask(path string, data any) error {
	resp, err := http.Get("http://" + p.addr + "/api/v1/" + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer := struct {
		Error string
		Data  any
	}{Data: data}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %w", resp.Status, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, answer.Error)
	}
	return nil
}

// query returns the number of series in a query's result, which must not be an error.
func (p *scraper) query(expr string) int {
	p.t.Helper()
	var data struct{ Result []json.RawMessage }
	if err := p.ask("query?query="+url.QueryEscape(expr), &data); err != nil {
		p.t.Errorf("%s: %v", expr, err)
	}
	return len(data.Result)
}

// firing returns the firing alerts and their subjects, without the problems that the daemon's first examination may
// find.
func (p *scraper) firing() []string {
	var data struct {
		Alerts []struct {
			State  string
			Labels map[string]string
		}
	}
	if p.ask("alerts", &data) != nil {
		return nil // not ready yet
	}
	all := map[string]bool{}
	for _, a := range data.Alerts {
		if a.State == "firing" && a.Labels["alertname"] != "CertrollProblemFound" {
			all[a.Labels["alertname"]+" "+a.Labels["certificate"]] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
