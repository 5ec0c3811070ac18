// Package archive reads the files of a ledger's tree: records, audit log, open problems,
// held sets, accepted revisions. It also makes the new content of a file from entries.
//
// It never fails because of one damaged file: it names the damage (Breach), uses the last
// readable version, and goes on. It bounds what it keeps in memory. It writes nothing
// itself; package recorder does.
package archive
