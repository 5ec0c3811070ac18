package notify

import (
	"certroll/spec/redact"
	"certroll/spec/text"
)

// longest bounds a receiver's answer, in bytes; some send a page of HTML.
const longest = 500

// strike removes secrets from a text, and cuts URLs, which may contain some.
func strike(said string, secrets []string) string {
	return text.Clipped(redact.New(secrets...).Strike(redact.Links(said)), longest)
}
