// Package console is the terminal of a command: its streams and exit codes.
//
// It owns the filters of standard output and standard error, the fence against commands
// of a CI runner, colours, and the check whether a person can answer questions. All of
// certroll's output passes through it.
//
// It does not know certificates or settings, and never decides what is printed.
package console
