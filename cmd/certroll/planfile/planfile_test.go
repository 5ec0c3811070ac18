package planfile

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"certroll/gitsync"
)

func TestReadPlanFile(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	good := File{Format: format, Schema: schema, Time: now.Add(-time.Hour), Files: map[string]string{}}
	text := func(change func(*File)) string {
		f := good
		change(&f)
		b, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	cases := map[string]struct{ text, want string }{
		"good":            {text(func(*File) {}), ""},
		"no JSON":         {"-----BEGIN", "it is no plan of certroll's"},
		"empty":           {"", "it is no plan of certroll's"},
		"another's":       {`{"format_version": "1.2", "schema": 1}`, "it is no plan of certroll's"},
		"plan --json":     {`{"schema": 1, "revision": ""}`, "it is no plan of certroll's"},
		"another schema":  {`{"format": "certroll plan", "schema": 2, "else": true}`, "it has schema 2, and this certroll reads 1"},
		"more than known": {strings.Replace(text(func(*File) {}), `"schema":1`, `"schema":1,"force":true`, 1), `unknown field "force"`},
		"too old":         {text(func(f *File) { f.Time = now.Add(-8 * 24 * time.Hour) }), "2026-11-17T12:00:00Z, and is too old: a plan may wait 7 days"},
		"from tomorrow":   {text(func(f *File) { f.Time = now.Add(24 * time.Hour) }), "still to come"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "plan")
			if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Read(path, now)
			if (err == nil) != (tc.want == "") || err != nil && (!strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "certroll plan --out")) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := Read(filepath.Join(t.TempDir(), "absent"), now); err == nil {
		t.Error("a file that is not there is read")
	}
}

func TestPlanFileFits(t *testing.T) {
	files := []gitsync.File{{Path: "a.hcl", Bytes: []byte("one")}}
	f := File{Revision: "abc", Files: Digests(files)}
	cases := map[string]struct {
		rev  gitsync.Revision
		want string
	}{
		"the same":                {gitsync.Revision{Commit: "abc", Files: files}, ""},
		"another commit":          {gitsync.Revision{Commit: "def", Subject: "Add b", Files: files}, "the plan was made for commit abc, and the head is commit def (Add b) now"},
		"another content":         {gitsync.Revision{Commit: "abc", Files: []gitsync.File{{Path: "a.hcl", Bytes: []byte("two")}}}, "other contents of a.hcl"},
		"a file more":             {gitsync.Revision{Commit: "abc", Files: append(files[:1:1], gitsync.File{Path: "b.hcl"})}, "other contents of b.hcl"},
		"a file less":             {gitsync.Revision{Commit: "abc"}, "other contents of a.hcl"},
		"a directory outside Git": {gitsync.Revision{Files: files}, "the head is a plain directory"},
	}
	for name, tc := range cases {
		if err := f.Fits(&tc.rev); (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}
