package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/settings"
)

// TestHelpGroups: each visible command is in a group, and the help topics follow the commands.
func TestHelpGroups(t *testing.T) {
	root := tested()
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() && c.GroupID == "" {
			t.Errorf("%s is in no group", c.Name())
		}
	}
	usage := root.UsageString()
	for _, part := range []string{"Set up:\n", "Plan and change:\n", "Inspect:\n", "More:\n", "  man ", "Additional help topics:\n", "certroll exit-codes", "certroll certroll.hcl"} {
		if !strings.Contains(usage, part) {
			t.Errorf("the help lacks %q:\n%s", part, usage)
		}
	}
}

// TestSettingsTopic: the topic lists every block and attribute of certroll.hcl.
func TestSettingsTopic(t *testing.T) {
	fields := reflect.TypeFor[settings.Settings]()
	for i := range fields.NumField() {
		name, _, _ := strings.Cut(fields.Field(i).Tag.Get("hcl"), ",")
		if name != "" && !regexp.MustCompile(`(?m)^  (\w+, )?`+name+`\b`).MatchString(settingsTopic) {
			t.Errorf("certroll help certroll.hcl lacks %s", name)
		}
	}
}

// TestEnvironmentTopic: the topic lists every environment variable that the command line reads.
func TestEnvironmentTopic(t *testing.T) {
	var files []string
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".go") {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 10 {
		t.Fatal(err, files)
	}
	read := regexp.MustCompile(`[gG]etenv\("([A-Z_]+)"\)`)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range read.FindAllStringSubmatch(string(b), -1) {
			if name := m[1]; name != "PATH" && name != "GITHUB_ACTIONS" && !strings.Contains(environmentTopic, name) {
				t.Errorf("%s reads %s, which certroll help environment lacks", file, name)
			}
		}
	}
}

// TestExitCodesTopic: the table contains each command whose help mentions an exit code above 1.
func TestExitCodesTopic(t *testing.T) {
	everyCommand(tested(), func(c *cobra.Command) {
		name := strings.TrimPrefix(c.CommandPath(), "certroll ")
		if regexp.MustCompile(`(?i)exits? (code is )?[0-3]`).MatchString(c.Long) && c.HasParent() && !regexp.MustCompile(`(?m)^  `+name+`\b`).MatchString(exitCodesTopic) {
			t.Errorf("certroll help exit-codes lacks %s", name)
		}
	})
}

// TestFlagValues: completion offers the values of a flag with few values.
func TestFlagValues(t *testing.T) {
	for _, tc := range []struct{ line, want string }{
		{"audit --status ", "denied"}, {"audit --operation ", "reissue"}, {"audit --class ", "rate_limited"}, {"audit --class ", "stale"},
		{"audit --severity ", "page"}, {"rotate --code ", "keyCompromise"}, {"plan --log-level ", "debug"}, {"init --service ", "systemd"},
		{"init --vault-auth ", "approle"}, {"init --ci ", "gitlab"},
	} {
		var out strings.Builder
		a := &app{Console: console.Console{In: strings.NewReader(""), Out: &out, Err: &strings.Builder{}, Getenv: func(string) string { return "" }}}
		if code := a.main(append([]string{"__complete"}, strings.Split(tc.line, " ")...)); code != 0 {
			t.Fatalf("%s: exit code %d", tc.line, code)
		}
		if !slices.Contains(strings.Split(out.String(), "\n"), tc.want) {
			t.Errorf("certroll %s offers %q, without %q", tc.line, out.String(), tc.want)
		}
	}
}
