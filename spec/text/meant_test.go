package text

import (
	"strings"
	"testing"
)

// TestMeant: the suggestion recognizes a typing mistake and the name of a whole for_each.
func TestMeant(t *testing.T) {
	known := []string{"shop-web", "shop-api", "city.berlin", "city.lyon"}
	for name, want := range map[string]string{
		"shop-wbe": ` Did you mean "shop-web"?`, "Shop-api": ` Did you mean "shop-api"?`, "city": ` Did you mean "city.berlin"?`, "city.lion": ` Did you mean "city.lyon"?`,
		"billing": "", "": "", strings.Repeat("x", 300): "",
	} {
		if got := Meant(name, known); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
