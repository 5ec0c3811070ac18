// Package archive reads the files in a ledger's tree: records, audit log, open problems,
// held sets and accepted revisions. It also computes the new content of a file from
// entries.
//
// One damaged file never makes it fail: it reports the damage (Breach), uses the last
// readable version, and goes on. It bounds the memory that it uses. Package recorder writes
// the files.
package archive
