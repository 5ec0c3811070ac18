package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func TestOneDash(t *testing.T) {
	cases := map[string]struct{ in, want []string }{
		"long flag with one dash":  {[]string{"plan", "-json"}, []string{"plan", "--json"}},
		"long flag with a value":   {[]string{"-config=x", "plan"}, []string{"--config=x", "plan"}},
		"two dashes stay":          {[]string{"plan", "--json"}, []string{"plan", "--json"}},
		"help stays":               {[]string{"-h"}, []string{"-h"}},
		"a lone dash stays":        {[]string{"-"}, []string{"-"}},
		"a negative number stays":  {[]string{"expiring", "-14"}, []string{"expiring", "-14"}},
		"after -- all stays as is": {[]string{"x", "--", "-json"}, []string{"x", "--", "-json"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := oneDash(tc.in); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestFlagsAreWrittenWithTwoDashes: help, docs and examples write flags with two dashes. certroll also accepts one
// dash, and one line in the docs says so.
func TestFlagsAreWrittenWithTwoDashes(t *testing.T) {
	known := map[string]bool{"help": true, "version": true}
	texts := map[string]string{}
	everyCommand(tested(), func(c *cobra.Command) {
		texts[c.CommandPath()] = c.Long + "\n" + c.Example + "\n" + c.UsageString()
		c.Flags().VisitAll(func(f *pflag.Flag) { known[f.Name] = true })
	})
	read := func(path string) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[path] = string(b)
	}
	read("../../README.md")
	for _, root := range []string{"../../docs", "../../examples"} {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() && !strings.Contains(path, "examples/lab") && slices.Contains([]string{".md", ".yml", ".yaml", ".hcl", ".service"}, filepath.Ext(path)) {
				read(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	written := regexp.MustCompile("(?m)(?:^|[\\s`(\\[|\"])-([a-z][a-z-]+)\\b")
	others := regexp.MustCompile(`\bvault (secrets|kv|agent|auth|write|read)\b|consul-template|One dash does as well`)
	for where, text := range texts {
		for line := range strings.Lines(text) {
			for _, m := range written.FindAllStringSubmatch(line, -1) {
				if known[m[1]] && !others.MatchString(line) {
					t.Errorf("%s writes -%s with one dash: %s", where, m[1], strings.TrimSpace(line))
				}
			}
		}
	}
}
