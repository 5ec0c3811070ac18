// Package page is the status page: `certroll run` serves it, and `certroll status
// --html` writes it as files.
//
// It owns the selection, order and appearance of the displayed facts. It changes
// nothing, and reads only the ledger's tree, for events. Its input is records and
// actions, which contain neither keys nor credentials, so it cannot show any.
//
//	Input ── New ── Page ┬ Filter ── index.html     (Server, or files)
//	records   pure       ├ status.json
//	actions              └ certificate.html, with its events of the audit log
//
// # Decisions
//
//   - A state is a word of package ledger. This package combines record, plan and open problems
//     (state.go), because it alone shows all three in one list.
//   - New is a pure function of a pass's result and the time; it runs when a browser
//     asks, not with each pass.
//   - Everything works with links and one form. The script only saves pressing a button
//     and reloading.
//   - Links are relative, so that the page works below any path of a proxy and in any
//     directory of a file server.
//   - Nothing is inline: the Content-Security-Policy forbids every source but the page's
//     own two files. Lengths on the time line are attributes of SVG, which it permits.
package page
