package notify

import (
	"certroll/spec/redact"
	"certroll/spec/text"
)

// longest bounds what a receiver said: some answer with a page of HTML.
const longest = 500

// strike makes a text fit to be shown that may quote secrets, or URLs that hold
// some.
func strike(said string, secrets []string) string {
	return text.Clipped(redact.New(secrets...).Strike(redact.Links(said)), longest)
}
