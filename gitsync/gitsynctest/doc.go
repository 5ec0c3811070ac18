// Package gitsynctest owns the shared test helpers of gitsync and of the packages below it:
// checks of an error, and commits signed by the real programs. Product code never imports
// it.
package gitsynctest
