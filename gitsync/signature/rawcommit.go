package signature

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// signed is a commit, split for the verification of its signature.
type signed struct {
	tree      plumbing.Hash // the tree that the signature covers
	payload   []byte        // the commit's bytes without the header gpgsig
	signature []byte        // the value of gpgsig; nil: the commit is not signed
	committed time.Time     // the committer's time
}

// header is one header of a commit with its continuation lines.
type header struct {
	key   string
	value []byte // all lines with their newlines, without the space that begins a continuation line
	raw   []byte // the header's bytes as they are in the commit
}

// parseSigned splits a commit's raw bytes. certroll, git and every viewer must read a
// signed commit in the same way. So parseSigned rejects everything that git silently
// ignores: a repeated or misplaced header, a second signature, a NUL byte, and a
// continuation line after a header of one line.
func parseSigned(raw []byte) (*signed, error) {
	if bytes.IndexByte(raw, 0) >= 0 {
		return nil, errors.New("it holds a NUL byte")
	}
	headers, body, err := splitHeaders(raw)
	if err != nil {
		return nil, err
	}
	s := &signed{}
	if err := s.order(headers); err != nil {
		return nil, err
	}
	for _, h := range headers {
		switch {
		case h.key == "gpgsig" && s.signature == nil:
			s.signature = h.value
		case h.key == "gpgsig":
			return nil, errors.New("it has more than one signature")
		case strings.HasPrefix(h.key, "gpgsig"):
			return nil, fmt.Errorf("it has a header %s beside gpgsig", h.key)
		default:
			s.payload = append(s.payload, h.raw...)
		}
	}
	s.payload = append(append(s.payload, '\n'), body...)
	return s, nil
}

// splitHeaders splits the headers from the body at the first empty line. Header names have
// the characters that git uses: letters, digits and hyphens, and a colon.
func splitHeaders(raw []byte) (headers []header, body []byte, err error) {
	for rest := raw; ; {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		if !ended {
			return nil, nil, errors.New("its headers do not end")
		}
		if len(line) == 0 {
			return headers, after, nil
		}
		whole := rest[:len(line)+1]
		rest = after
		if line[0] == ' ' {
			if len(headers) == 0 || !continues(headers[len(headers)-1].key) {
				return nil, nil, errors.New("a header that has one line is continued")
			}
			h := &headers[len(headers)-1]
			h.value, h.raw = append(h.value, whole[1:]...), append(h.raw, whole...)
			continue
		}
		key, value, ok := bytes.Cut(whole, []byte(" "))
		if !ok || len(key) == 0 || bytes.ContainsFunc(key, func(r rune) bool { return !headerLetter(r) }) {
			return nil, nil, fmt.Errorf("%q is no header", clip(line))
		}
		// Clone: continuation lines are appended, and must not overwrite raw.
		headers = append(headers, header{string(key), bytes.Clone(value), bytes.Clone(whole)})
	}
}

// headerLetter reports a character of a header name.
func headerLetter(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == ':'
}

// continues reports whether a header may have continuation lines.
func continues(key string) bool {
	switch key {
	case "tree", "parent", "author", "committer", "encoding":
		return false
	}
	return true
}

// order checks the order that git writes headers in: tree, parents, author, committer, then
// the others. None of those may come again, and encoding at most once.
func (s *signed) order(headers []header) error {
	next := func(key string) (header, error) {
		if len(headers) == 0 || headers[0].key != key {
			return header{}, fmt.Errorf("the header %s is not where it belongs", key)
		}
		h := headers[0]
		headers = headers[1:]
		return h, nil
	}
	tree, err := next("tree")
	if err != nil {
		return err
	}
	if s.tree, err = objectName(tree); err != nil {
		return err
	}
	for len(headers) > 0 && headers[0].key == "parent" {
		if _, err := objectName(headers[0]); err != nil {
			return err
		}
		headers = headers[1:]
	}
	if _, err := next("author"); err != nil {
		return err
	}
	committer, err := next("committer")
	if err != nil {
		return err
	}
	if s.committed, err = moment(committer.value); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, h := range headers {
		switch h.key {
		case "tree", "parent", "author", "committer":
			return fmt.Errorf("the header %s is there twice", h.key)
		case "encoding":
			if seen[h.key] {
				return fmt.Errorf("the header %s is there twice", h.key)
			}
			seen[h.key] = true
		}
	}
	return nil
}

// objectName parses an object hash of 40 lower-case digits.
func objectName(h header) (plumbing.Hash, error) {
	name := strings.TrimSuffix(string(h.value), "\n")
	if !plumbing.IsHash(name) || name != strings.ToLower(name) {
		return plumbing.ZeroHash, fmt.Errorf("the header %s names no object", h.key)
	}
	return plumbing.NewHash(name), nil
}

// moment parses the seconds of a committer line, "Name <mail> 1700000000 +0100".
func moment(value []byte) (time.Time, error) {
	fields := strings.Fields(string(value[bytes.LastIndexByte(value, '>')+1:]))
	if len(fields) == 2 {
		if seconds, err := strconv.ParseInt(fields[0], 10, 64); err == nil && seconds >= 0 {
			return time.Unix(seconds, 0), nil
		}
	}
	return time.Time{}, errors.New("its committer has no time")
}

// clip shortens a line for an error message.
func clip(line []byte) string {
	if len(line) > 40 {
		return string(line[:40]) + "..."
	}
	return string(line)
}
