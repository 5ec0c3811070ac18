// Package review explains a change of the config repo to its reviewer: the certificates
// that it adds, changes and removes, the time from which each setting takes effect, and
// notes about consequences that are easy to miss. It is pure and decides nothing.
package review
