package console

import (
	"strings"
	"testing"
)

func TestPerson(t *testing.T) {
	c := &Console{Getenv: func(string) string { return "" }}
	if who := c.Person(); !strings.Contains(who, "@") {
		t.Errorf("%q", who)
	}
	c.Getenv = func(name string) string { return map[string]string{"CERTROLL_ACTOR": " ann@example.com\n"}[name] }
	if who := c.Person(); who != "ann@example.com" {
		t.Errorf("%q", who)
	}
}
