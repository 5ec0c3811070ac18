package importing

import (
	"encoding/base64"
	"strings"
)

// section is the settings of one part of a file.
type section map[string]string

// parseINI reads what certbot writes (ConfigObj): settings, [sections] and
// [[subsections]], of which the name is the key. Settings before the first
// section stand under "". What is no setting is passed over.
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

// unquote takes quotes off, and comments after a value without them.
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

// on reads a setting that is true or false.
func (s section) on(name string) bool { return strings.EqualFold(s[name], "true") }

// off is true where a setting is there and false.
func (s section) off(name string) bool { return strings.EqualFold(s[name], "false") }

// set tells whether a setting says anything: certbot writes None for nothing.
func (s section) set(name string) bool { return s[name] != "" && s[name] != "None" }

// parseShell reads what acme.sh writes: NAME='value' lines. Values in its
// base64 dress are decoded.
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
