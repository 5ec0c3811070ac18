// Package text makes text from outside fit to be shown: commit authors, file
// names, answers of CAs, DNS providers, Vault, Git hosts and receivers of
// notifications, and all that stands in a ledger which others may push to.
//
// A reader may be a person at a terminal, a person who reads Markdown or HTML,
// a program that reads lines, or a CI runner that takes some lines for commands.
// Text that went through Line or Lines
//
//   - has no character that acts on a terminal, that nobody can see, or that
//     turns the order of those one can see (Trojan Source, CVE-2021-42574);
//   - has only the line breaks that its shape allows;
//   - begins no line with "::", also behind blanks, and has no "##[" and no
//     "##word[" anywhere: workflow commands of GitHub Actions, Azure Pipelines
//     and TeamCity.
//
// JSON does the same without a loss, by escapes. Writer is the second line of
// defence, in front of everything that is printed or logged.
//
// Counted, Some, Meant, OneOf and the like are the small phrases that messages of all
// packages share.
//
// The package keeps secrets out of nothing: that is another filter's matter.
package text
