package main

import (
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/settings"
)

const ciExamples = "../../examples/ci"

// pipelines returns the YAML files of the examples, by name.
func pipelines(t *testing.T) map[string]map[string]any {
	t.Helper()
	found := map[string]map[string]any{}
	err := filepath.WalkDir(ciExamples, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".yml") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var doc map[string]any
		if err := yaml.Unmarshal(b, &doc); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		found[filepath.Base(path)] = doc
		return nil
	})
	if err != nil || len(found) != 4 {
		t.Fatalf("%d files, %v", len(found), err)
	}
	return found
}

// texts calls found for each string in a document, with its key.
func texts(node any, key string, found func(key, text string)) {
	switch n := node.(type) {
	case map[string]any:
		for k, v := range n {
			texts(v, k, found)
		}
	case []any:
		for _, v := range n {
			texts(v, key, found)
		}
	case string:
		found(key, n)
	}
}

var (
	between = regexp.MustCompile(`\n|;|&&|\|\||\||\{|\}`)
	word    = regexp.MustCompile(`"[^"]*"|'[^']*'|\S+`)
)

// commands returns the certroll calls in a shell script, split into words as far as the examples need it.
func commands(script string) [][]string {
	var list [][]string
	for _, line := range between.Split(strings.ReplaceAll(script, "\\\n", " "), -1) {
		words := word.FindAllString(line, -1)
		if len(words) == 0 || words[0] != "certroll" {
			continue
		}
		if i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, ">") }); i >= 0 {
			words = words[:i]
		}
		for i := range words {
			words[i] = strings.Trim(words[i], `"'`)
		}
		list = append(list, words[1:])
	}
	return list
}

// TestCICommands: certroll accepts the arguments of each call in the examples.
func TestCICommands(t *testing.T) {
	calls := 0
	for name, doc := range pipelines(t) {
		texts(doc, "", func(key, text string) {
			if key != "run" && key != "script" && key != "before_script" {
				return
			}
			for _, args := range commands(text) {
				calls++
				if err := taken(args); err != nil {
					t.Errorf("%s: certroll %s: %v", name, strings.Join(args, " "), err)
				}
			}
		})
	}
	if calls < 10 {
		t.Errorf("only %d calls were found", calls)
	}
	for _, wrong := range [][]string{{"plan", "-bass", "x"}, {"plan", "-json", "-markdown"}, {"aply"}, {"plan", "FILE"}} {
		if taken(wrong) == nil {
			t.Errorf("certroll %s is taken", strings.Join(wrong, " "))
		}
	}
}

// taken reports whether certroll accepts arguments, without running a command.
func taken(args []string) error {
	a := &app{Console: console.Console{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard, Getenv: func(string) string { return "" }}}
	c, rest, err := a.rootCommand().Find(oneDash(args))
	if err == nil {
		err = c.ParseFlags(rest)
	}
	if err == nil {
		err = c.ValidateArgs(c.Flags().Args())
	}
	if err == nil {
		err = c.ValidateFlagGroups()
	}
	return err
}

// TestCIPermissions: jobs that run on a change have no secret and cannot log in, jobs that read a change cannot write,
// and actions are pinned.
func TestCIPermissions(t *testing.T) {
	pinned := regexp.MustCompile(`^[\w.-]+/[\w.-]+@[0-9a-f]{40}$`)
	for name, doc := range pipelines(t) {
		texts(doc, "", func(key, text string) {
			if key == "uses" && !pinned.MatchString(text) {
				t.Errorf("%s: %s is not pinned to a commit", name, text)
			}
			if strings.Contains(text, "secrets.") {
				t.Errorf("%s holds a secret: %s", name, text)
			}
			if key == "run" && strings.Contains(text, "${{") {
				t.Errorf("%s puts an expression into a script, which runs what it holds: %s", name, text)
			}
		})
		jobs, ok := doc["jobs"].(map[string]any)
		if !ok {
			continue
		}
		for job, j := range jobs {
			rights, _ := j.(map[string]any)["permissions"].(map[string]any)
			if len(rights) == 0 {
				rights, _ = doc["permissions"].(map[string]any)
			}
			writes := rights["contents"] == "write" || rights["pull-requests"] == "write" || rights["id-token"] == "write"
			reads := false
			texts(j, "", func(_, text string) { reads = reads || strings.Contains(text, "change/certs") })
			if len(rights) == 0 || writes && (reads || name == "check.yml") {
				t.Errorf("%s: job %s has the rights %v", name, job, rights)
			}
		}
	}
}

// TestCISettings: the settings decode, and each Vault role is bound to IDs, a branch, an audience and the examples'
// policy.
func TestCISettings(t *testing.T) {
	for forge, ids := range map[string][]string{"github": {"repository_id", "repository_owner_id"}, "gitlab": {"project_id", "namespace_id"}} {
		s, _, diags, err := settings.Load(filepath.Join(ciExamples, forge, "certroll.hcl"))
		if err != nil || diags.HasErrors() {
			t.Fatalf("%s: %v %v", forge, err, diags)
		}
		if a := s.Vault.Auth; a == nil || a.Method != "jwt" || a.JWTEnv != "CERTROLL_JWT" || a.Mount != forge || s.Repo.Directory != "certs" {
			t.Errorf("%s: %+v", forge, a)
		}
		var role struct {
			Audiences []string          `json:"bound_audiences"`
			Claims    map[string]string `json:"bound_claims"`
			Policies  []string          `json:"token_policies"`
		}
		b, err := os.ReadFile(filepath.Join(ciExamples, "vault", forge+"-apply.json"))
		if err == nil {
			err = json.Unmarshal(b, &role)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, claim := range append(ids, "ref") {
			if role.Claims[claim] == "" {
				t.Errorf("%s: the role is not bound to %s", forge, claim)
			}
		}
		for claim := range role.Claims {
			if slices.Contains([]string{"repository", "repository_owner", "sub", "project_path", "namespace_path"}, claim) {
				t.Errorf("%s: the role is bound to the name %s", forge, claim)
			}
		}
		if len(role.Audiences) != 1 || !slices.Equal(role.Policies, []string{"certroll-apply"}) {
			t.Errorf("%s: %+v", forge, role)
		}
	}
}
