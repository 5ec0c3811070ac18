// Package review says what a change of the config repo means to its reviewer: which
// certificates it adds, changes and removes, which settings take effect when, and notes
// about what is easy to miss. It is pure, and decides nothing.
package review
