package redact

import "regexp"

// address is an IP address with a port, as package net writes it.
const address = `(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]):\d{1,5}`

var (
	// asked is net.DNSError's text with the resolver's address.
	asked = regexp.MustCompile(`(lookup \S{1,255}) on ` + address)
	// between is net.OpError's text with the addresses of both ends.
	between = regexp.MustCompile(`((?:tcp|udp)[46]? )` + address + `->(` + address + `)`)
)

// Network removes this machine's own addresses from the text of a network error: those of
// its resolver and of its end of a connection. The text still names the host that was
// looked up and the cause.
func Network(text string) string {
	return between.ReplaceAllString(asked.ReplaceAllString(text, "$1"), "$1$2")
}
