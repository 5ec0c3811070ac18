// Package text makes text from outside safe to display: commit authors, file names,
// answers of CAs, DNS providers, Vault, Git hosts and receivers of notifications, and the
// content of a ledger, to which others may push.
//
// The reader may be a person at a terminal, a person who reads Markdown or HTML, a
// program that reads lines, or a CI runner that interprets some lines as commands. The
// result of Line and Lines
//
//   - contains no character that controls a terminal, is invisible, or reverses the order of visible ones (Trojan Source, CVE-2021-42574);
//   - contains only the line breaks of its shape;
//   - has no line that begins with "::", even after spaces, and contains no "##[" and no "##word[": workflow commands of GitHub Actions, Azure Pipelines and TeamCity.
//
// Prose and Code format such a text for Markdown.
//
// JSON does the same by escapes, without loss. Writer is the second line of defence, in
// front of everything that certroll prints or logs.
//
// Counted, Some, Meant, OneOf and the like build the short phrases that the messages of
// all packages share.
//
// The package removes no secrets; package redact does.
package text
