package importing

import (
	"encoding/base64"
	"strings"
)

// section is the settings of one section of a file.
type section map[string]string

// parseINI parses certbot's files (ConfigObj): settings, [sections] and [[subsections]],
// with the name as the key. Settings before the first section are in "". It ignores
// other lines.
func parseINI(text []byte) map[string]section {
	sections := map[string]section{"": {}}
	current := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' {
			current = strings.TrimSpace(strings.Trim(line, "[]"))
			if sections[current] == nil {
				sections[current] = section{}
			}
			continue
		}
		if name, value, ok := strings.Cut(line, "="); ok {
			sections[current][strings.TrimSpace(name)] = unquote(value)
		}
	}
	return sections
}

// unquote removes quotes, and the comment after an unquoted value.
func unquote(value string) string {
	value = strings.TrimSpace(value)
	if len(value) > 1 && (value[0] == '"' || value[0] == '\'') {
		if end := strings.IndexByte(value[1:], value[0]); end >= 0 {
			return value[1 : end+1]
		}
	}
	value, _, _ = strings.Cut(value, " #")
	return strings.TrimSpace(value)
}

// on reports whether a setting is true.
func (s section) on(name string) bool { return strings.EqualFold(s[name], "true") }

// off reports whether a setting is present and false.
func (s section) off(name string) bool { return strings.EqualFold(s[name], "false") }

// set reports whether a setting has a value: certbot writes None for no value.
func (s section) set(name string) bool { return s[name] != "" && s[name] != "None" }

// parseShell parses acme.sh's files: NAME='value' lines. It decodes acme.sh's base64
// values.
func parseShell(text []byte) section {
	out := section{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, "=")
		if !ok || name == "" || name[0] == '#' {
			continue
		}
		out[name] = undress(strings.Trim(value, `'"`))
	}
	return out
}

func undress(value string) string {
	inner, ok := strings.CutPrefix(value, "__ACME_BASE64__START_")
	if !ok {
		return value
	}
	inner = strings.TrimSuffix(inner, "__ACME_BASE64__END_")
	decoded, err := base64.StdEncoding.DecodeString(inner)
	if err != nil {
		return value
	}
	return strings.TrimSpace(string(decoded))
}

// list splits a value at commas.
func list(value string) []string {
	var out []string
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
