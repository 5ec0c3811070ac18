package spec

import (
	"maps"
	"slices"
)

// AddressVariables are the variables of a provider that hold the address of a
// server, of all providers that have one, by the provider's code.
func AddressVariables() map[string][]string {
	all := map[string][]string{}
	for _, code := range Providers() {
		for _, name := range (&provider{code}).names() {
			switch kindOfVariable(name) {
			case urlVariable, hostVariable, serverVariable, realmVariable:
				all[code] = append(all[code], name)
			case plainVariable, labelVariable, choiceVariable, ambientVariable, unclassified:
			}
		}
	}
	return all
}

// Variables are the names of a provider's variables that a dns block may set.
func Variables(code string) []string {
	return slices.DeleteFunc((&provider{code}).names(), func(name string) bool { return kindOfVariable(name) == unclassified })
}

// GoRound are the providers whose client goes round the proxy that bounds what a
// DNS child may connect to: from the config repo their address variables are
// refused whatever trust.endpoints says. TestProvidersUseTheGateway finds them.
func GoRound() []string { return slices.Sorted(maps.Keys(goRound)) }
