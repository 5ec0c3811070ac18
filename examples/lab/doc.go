// Package lab starts the real servers that certroll talks to, on loopback and
// for as long as somebody looks at them: a HashiCorp Vault in dev mode, the
// ACME CAs Pebble and step-ca, an authoritative DNS server that takes dynamic updates
// (one in this process, and BIND), and bare Git repositories over HTTP and
// SSH. The demo, the integration tests and the benchmarks share it.
//
// Each Start function returns when its server really answers, or with an
// error that carries the end of the server's own log. The context bounds the
// start only; a server lives until its Close, which ends the process and
// waits for it. On Linux the kernel ends it where this process dies first.
//
// A server listens on 127.0.0.1 only and writes only under the directory it
// is given, or one that it makes and removes. One exception is forced: sshd
// run by root insists on /run/sshd, which StartGitSSH then makes.
//
// Every secret is random and dies with its server. The package imports
// nothing of certroll: what it says about a result is a second opinion.
package lab
