package providers

import (
	"maps"
	"slices"
)

// AddressVariables returns, by provider code, the variables that contain the address of a
// server. Providers without such a variable are left out.
func AddressVariables() map[string][]string {
	all := map[string][]string{}
	for _, code := range Codes() {
		for _, name := range (&Provider{code}).VariableNames() {
			switch KindOf(name) {
			case URL, Host, Server, Realm:
				all[code] = append(all[code], name)
			case Plain, Label, Port, Choice, Ambient, Unclassified:
			}
		}
	}
	return all
}

// Variables returns the names of a provider's variables that a dns block may set.
func Variables(code string) []string {
	return slices.DeleteFunc((&Provider{code}).VariableNames(), func(name string) bool { return KindOf(name) == Unclassified })
}

// GoRound returns the providers whose client bypasses the proxy that bounds the
// connections of a DNS child. The config repo may not set their address variables,
// whatever trust.endpoints allows. TestProvidersUseTheGateway finds such clients; at
// present there are none.
func GoRound() []string { return slices.Sorted(maps.Keys(goRound)) }
