// Package page is the status page: what `certroll run` serves and what
// `certroll status --html` writes as files.
//
// It owns what is shown of a certificate, in which order, and how it looks. It
// changes nothing and asks nobody but the ledger's tree for events; it is handed
// records and actions, which hold no key and no credential, so that there is
// none to show.
//
//	Input ── New ── Page ┬ Filter ── index.html     (Server, or files)
//	records   pure       ├ status.json
//	actions              └ certificate.html, with its events of the audit log
//
// # Decisions
//
//   - New is a pure function of what a pass left behind and the time; it is
//     called when somebody looks, not with each pass.
//   - All there is works by links and one form. The script saves the pressing of
//     a button and the loading of the page again, and adds nothing else.
//   - Links are relative, so that the page stands below any path of a proxy and
//     in any directory of a file server.
//   - Nothing is inline: the Content-Security-Policy forbids every source but
//     the page's own two files. Lengths on the time line are attributes of SVG,
//     which it lets be.
package page
