package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	linkTarget = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	linkText   = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	codeSpan   = regexp.MustCompile("`[^`]*`")
)

// TestLinks checks each relative link in the Markdown files: the file must exist, and a fragment must match a heading.
func TestLinks(t *testing.T) {
	pages := markdown(t, filepath.Join("..", ".."))
	if len(pages) < 20 {
		t.Fatalf("%d Markdown files were found, there are more than 20", len(pages))
	}
	for page, text := range pages {
		for number, line := range prose(text) {
			for _, link := range linkTarget.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, ""), -1) {
				if err := follow(pages, page, link[1]); err != nil {
					t.Errorf("%s:%d: %v", page, number+1, err)
				}
			}
		}
	}
}

// TestLinksAreFollowed: TestLinks detects broken links.
func TestLinksAreFollowed(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "page.md")
	text := "# One `two` [three](x.md), four\n\n## Twice\n\n```\n# no heading\n```\n\n## Twice\n"
	if err := os.WriteFile(page, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	pages := markdown(t, dir)
	for link, good := range map[string]bool{
		"page.md": true, ".": true, "https://example.com/x.md#y": true, "gone.md": false,
		"#one-two-three-four": true, "page.md#twice": true, "#twice-1": true, "#twice-2": false, "#no-heading": false,
	} {
		if err := follow(pages, page, link); (err == nil) != good {
			t.Errorf("%s: %v, good is %v", link, err, good)
		}
	}
}

// follow returns an error for a broken link on a page.
func follow(pages map[string]string, page, link string) error {
	if strings.Contains(link, ":") { // an external link
		return nil
	}
	target, fragment, _ := strings.Cut(link, "#")
	file := page
	if target != "" {
		file = filepath.Join(filepath.Dir(page), filepath.FromSlash(target))
	}
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("the link %s leads nowhere: there is no %s", link, file)
	}
	if fragment == "" {
		return nil
	}
	seen := map[string]int{}
	for _, line := range prose(pages[file]) {
		if anchor := headingAnchor(line, seen); anchor == fragment {
			return nil
		}
	}
	return fmt.Errorf("the link %s leads nowhere: %s has no such heading", link, file)
}

// headingAnchor returns the anchor that forges give a heading, or "" for another line. seen counts the anchors on the
// page.
func headingAnchor(line string, seen map[string]int) string {
	title := strings.TrimLeft(line, "#")
	if title == line || !strings.HasPrefix(title, " ") {
		return ""
	}
	title = linkText.ReplaceAllString(strings.TrimSpace(title), "$1")
	anchor := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, title)
	n := seen[anchor]
	seen[anchor]++
	if n > 0 {
		return fmt.Sprintf("%s-%d", anchor, n)
	}
	return anchor
}

// prose returns a page's lines, with lines in code blocks empty.
func prose(text string) []string {
	lines := strings.Split(text, "\n")
	code := false
	for i, line := range lines {
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		if code || fence {
			lines[i] = ""
		}
		if fence {
			code = !code
		}
	}
	return lines
}

// markdown returns the Markdown files below a directory by path, without golden files and build output.
func markdown(t *testing.T, root string) map[string]string {
	t.Helper()
	pages := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (name == ".git" || name == "testdata" || name == "bin" || name == "dist") {
			return fs.SkipDir
		}
		if filepath.Ext(name) != ".md" || d.IsDir() {
			return nil
		}
		text, err := os.ReadFile(path) //nolint:gosec // a file of the repository
		pages[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}
