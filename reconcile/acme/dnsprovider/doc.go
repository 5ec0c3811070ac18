// Package dnsprovider runs each DNS provider in a child process of the program
// certroll-dns (program.go), so that this package and its importers link no provider.
// Package dnschild is the child's side; package dnswire is the protocol.
//
// A child's environment has the account's credentials and the few variables of passedOn,
// nothing else of certroll's: lego's providers read the environment, and two accounts of
// one provider would read each other's credentials. The child exits with its parent. It
// survives a Ctrl-C, so that the parent can still remove records. A gateway restricts
// the child's connections to the addresses that its account may reach.
//
// The package decides neither which record to write nor whether it is visible: package
// publish does.
package dnsprovider
