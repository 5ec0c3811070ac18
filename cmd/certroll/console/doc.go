// Package console is the terminal around a command: its streams and its exit codes.
//
// It owns the filters in front of standard output and standard error, the fence against
// commands of a CI runner, colours, and the question whether a person can be asked. All
// that certroll prints passes through it.
//
// It knows nothing of certificates or settings, and never decides what is printed.
package console
