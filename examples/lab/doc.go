// Package lab starts the real servers that certroll uses, on loopback and for the length
// of a test: a HashiCorp Vault in dev mode, the ACME CAs Pebble and step-ca, an
// authoritative DNS server with dynamic updates (one in this process, and BIND), and bare
// Git repositories over HTTP and SSH. The demo, the integration tests and the benchmarks
// share it.
//
// Each Start function returns when its server answers, or with an error that contains the
// end of the server's log. The context bounds only the start. A server runs until Close,
// which ends the process and waits for it. On Linux the kernel ends it if this process
// dies first.
//
// A server listens only on 127.0.0.1 and writes only below its directory, either the
// given one or a temporary one. There is one exception: sshd run by root insists on
// /run/sshd, which StartGitSSH creates.
//
// Every secret is random and dies with its server. The package imports nothing of
// certroll, so that its checks are independent of certroll's code.
package lab
