// Package bounded reads content from outside of the process with a limit on memory and on
// time: the other side can neither exhaust memory nor block a read forever. Product code
// reads whole files and bodies only through this package.
package bounded
