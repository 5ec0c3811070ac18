// Package block reads the settings of HCL blocks, each once, and reports every mistake
// with its place.
//
// A Scope is what the blocks of one revision share: the diagnostics, the steps that
// evaluation may still cost, and the names that expressions can refer to. A Reader
// reads one block: it evaluates settings in the scope, checks their types, and in the
// end reports the settings that nobody asked for.
//
// The package knows how to read a block and not what any block means: no type of block
// and no setting has a name here.
package block
