//go:build linux

package gitsync

import (
	"strings"
	"testing"
)

// TestTheSecondFetchIsSmall: a fetch does not transfer objects that the cache has. The test counts all bytes on the
// wire for a change of one line in a repository of several megabytes.
func TestTheSecondFetchIsSmall(t *testing.T) {
	t.Parallel()
	p := transports["http"](t)
	p.noise(t, "image.bin", 8<<20, 1)
	address := strings.Split(strings.TrimPrefix(p.url, "http://"), "/")[0]
	gate := newToll(t, address)
	p.url = strings.Replace(p.url, address, gate.Addr().String(), 1)
	for _, depth := range []int{0, 3} {
		p.push(t, "main", map[string]string{"a.hcl": "1"})
		s := p.source(t, SourceOptions{Depth: depth})
		was := gate.down.Load()
		fetch(t, s)
		if first := gate.down.Load() - was; first < 8<<20 {
			t.Errorf("depth %d: the first fetch had %d bytes: that is not all", depth, first)
		}
		for _, text := range []string{"2", "3", "4"} {
			p.push(t, "main", map[string]string{"a.hcl": text})
			was := gate.down.Load()
			if rev := fetch(t, s); contents(rev) != "a.hcl="+text {
				t.Errorf("got %s", contents(rev))
			}
			if got := gate.down.Load() - was; got > 100<<10 {
				t.Errorf("depth %d: a later fetch had %d bytes", depth, got)
			}
		}
	}
}
