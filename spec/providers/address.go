package providers

import (
	"maps"
	"slices"
)

// AddressVariables are the variables of a provider that hold the address of a
// server, of all providers that have one, by the provider's code.
func AddressVariables() map[string][]string {
	all := map[string][]string{}
	for _, code := range Codes() {
		for _, name := range (&Provider{code}).VariableNames() {
			switch KindOf(name) {
			case URL, Host, Server, Realm:
				all[code] = append(all[code], name)
			case Plain, Label, Choice, Ambient, Unclassified:
			}
		}
	}
	return all
}

// Variables are the names of a provider's variables that a dns block may set.
func Variables(code string) []string {
	return slices.DeleteFunc((&Provider{code}).VariableNames(), func(name string) bool { return KindOf(name) == Unclassified })
}

// GoRound are the providers whose client goes round the proxy that bounds what a
// DNS child may connect to: from the config repo their address variables are
// refused whatever trust.endpoints says. TestProvidersUseTheGateway finds them.
func GoRound() []string { return slices.Sorted(maps.Keys(goRound)) }
