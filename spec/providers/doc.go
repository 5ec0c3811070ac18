// Package providers describes lego's DNS providers: their codes and variables, which
// variables a new dns block needs, which contain a secret, which lead to another server,
// and how a provider treats TXT records that certroll did not write.
//
// providers_table.go is generated from lego's source by go generate ./spec/providers. The
// other tables are written by hand. Tests compare them with lego's source, and certroll
// rejects a variable that no table lists.
//
// The package calls no provider and holds no credentials.
package providers
