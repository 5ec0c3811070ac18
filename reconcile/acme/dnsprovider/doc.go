// Package dnsprovider runs DNS providers, each in a child process, of the program
// certroll-dns (program.go), so that this package and all who import it link no
// provider. The child's body is package dnschild, the protocol package dnswire.
//
// A child's environment is the account's credentials and the few variables of
// passedOn, nothing of ours: lego's providers read the environment, and two accounts
// of one provider would read each other's. The child ends with its parent, and
// outlives a Ctrl-C for as long as the parent has records to remove. A gateway lets a
// child connect to what its account may reach and to nothing else.
//
// It never decides what is written, nor whether that can be seen: that is package
// publish's.
package dnsprovider
