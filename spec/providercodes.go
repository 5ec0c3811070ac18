package spec

import "maps"

// Providers returns the codes of lego's DNS providers that a dns block may
// name, sorted, without their aliases.
func Providers() []string { return providerCodes() }

// RefusedProviders returns lego's other DNS providers: by code, why no dns
// block may name one.
func RefusedProviders() map[string]string { return maps.Clone(refusedProviders) }
