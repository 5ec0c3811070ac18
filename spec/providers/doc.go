// Package providers is what certroll knows of lego's DNS providers: their codes and
// variables, which of these a person is asked for, which hold a secret, which lead to
// another server, and what a provider does to the TXT records of others.
//
// providers_table.go is generated from lego's source by go generate ./spec/providers.
// The other tables are kept by hand; tests compare them with lego's source, and a
// variable that stands in none of them is refused.
//
// The package calls no provider and holds no credentials.
package providers
