package spec

import "strings"

// Unread is what lies among the files of a revision and is not read.
type Unread struct {
	Path string // relative to the config directory, with slashes: a file, or a directory with all that is in it
	Why  string // goes on a sentence that begins with the path
}

// UnreadAt is what lies unread where a file of the spec was: at its path, at a
// directory above it, or beside it under another ending. nil: nothing.
func (s *Spec) UnreadAt(file string) *Unread {
	if file == "" {
		return nil
	}
	for i, u := range s.Unread {
		if strings.HasPrefix(file, u.Path+"/") || stem(u.Path) == stem(file) {
			return &s.Unread[i]
		}
	}
	return nil
}

// stem is a path without what makes it HCL.
func stem(file string) string {
	lower := strings.ToLower(file)
	for _, ending := range []string{".hcl.json", ".hcl", ".tf"} {
		if strings.HasSuffix(lower, ending) {
			return lower[:len(lower)-len(ending)]
		}
	}
	return lower
}
