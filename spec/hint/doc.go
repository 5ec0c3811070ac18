// Package hint suggests what a person may have meant by a name that is not known: the
// known name that it misspells, or the setting that another tool calls so.
//
// The package decides nothing, and looks at names alone.
package hint
