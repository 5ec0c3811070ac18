package text

import (
	"regexp"
	"strings"
)

// Prose and Code are the only ways of foreign text into Markdown that a Git host renders: a
// comment on a pull request, and STATUS.md. Backslashes are not enough there. GitHub and
// GitLab make links of bare addresses, mentions, references and commits after they have read
// the Markdown, but never in a code span.

// Prose formats a sentence on one line. Only plain words stand outside code spans:
// links, mentions, references, emoji and HTML all need other characters than letters.
func Prose(sentence string, most int) string {
	var parts, coded []string
	flush := func() {
		if len(coded) > 0 {
			all := strings.Join(coded, " ")
			core := strings.TrimRight(all, ".,;:")
			parts, coded = append(parts, Code(core, most)+all[len(core):]), nil
		}
	}
	for _, word := range strings.Fields(Line(Clip(sentence, most))) {
		core := strings.TrimRight(word, ".,;:")
		if plainWord(strings.TrimSuffix(strings.TrimPrefix(core, "("), ")")) {
			flush()
			parts = append(parts, word)
		} else {
			coded = append(coded, word)
		}
	}
	if flush(); len(parts) == 0 {
		return Code("", most)
	}
	return strings.Join(parts, " ")
}

// plainWord reports whether a word has only letters, or is a number too short for a
// commit.
func plainWord(word string) bool {
	return plainLetters.MatchString(word) && !hexWord.MatchString(word)
}

var (
	plainLetters = regexp.MustCompile(`^([A-Za-z]+(['-][A-Za-z]+)*|[0-9]{1,4})$`)
	hexWord      = regexp.MustCompile(`^[a-fA-F]{7,}$`)
)

// Code formats foreign text as a code span on one line. Backticks end a span, and
// bars end a table cell, even if escaped; look-alikes replace both.
func Code(words string, most int) string {
	words = ofCode.Replace(Line(Clip(words, most)))
	if strings.TrimSpace(words) == "" {
		return "(empty)"
	}
	return "`" + words + "`"
}

var ofCode = strings.NewReplacer("`", "ʼ", "|", "¦")
