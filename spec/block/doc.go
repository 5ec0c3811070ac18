// Package block reads the settings of HCL blocks, each once, and reports every mistake
// with its place.
//
// A Scope is the state that the blocks of one revision share: the diagnostics, the
// remaining steps of evaluation, and the names that expressions can refer to. A Reader
// reads one block: it evaluates settings in the scope, checks their types, and finally
// reports the settings that the decoder did not read.
//
// The package does not know the meaning of any block: it contains no name of a
// certificate setting.
package block
