package main

import (
	"slices"
	"testing"
)

func TestOneDash(t *testing.T) {
	cases := map[string]struct{ in, want []string }{
		"long flag with one dash":  {[]string{"plan", "-json"}, []string{"plan", "--json"}},
		"long flag with a value":   {[]string{"-config=x", "plan"}, []string{"--config=x", "plan"}},
		"two dashes stay":          {[]string{"plan", "--json"}, []string{"plan", "--json"}},
		"help stays":               {[]string{"-h"}, []string{"-h"}},
		"a lone dash stays":        {[]string{"-"}, []string{"-"}},
		"a negative number stays":  {[]string{"expiring", "-14"}, []string{"expiring", "-14"}},
		"after -- all stays as is": {[]string{"x", "--", "-json"}, []string{"x", "--", "-json"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := oneDash(tc.in); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
