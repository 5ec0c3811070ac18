// Package hint suggests a name for an unknown one: the known name that it misspells, or
// certroll's setting for the name that another tool uses.
//
// The package only compares names; callers decide what to do with a suggestion.
package hint
