// Package gitsynctest owns what the tests of gitsync and of the packages below it
// share: judging an error, and signing commits with the real programs. Product code
// never imports it.
package gitsynctest
