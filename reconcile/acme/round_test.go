package acme

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"certroll/examples/lab/labtest"
	"certroll/spec/providers"
)

// TestProvidersUseTheGateway makes each provider with a configurable server contact a
// canary on this machine that its account may not reach. The connection must arrive at
// the gateway and never at the canary.
func TestProvidersUseTheGateway(t *testing.T) {
	labtest.AllProviders(t)
	t.Parallel()
	r := &rig{t: t, dns: nameServer(t, "lab.test"), opts: Options{Resolve: fromTable(nil), ChildIdle: time.Millisecond}}
	c := r.client()
	var mu sync.Mutex
	var round, unknown []string
	var wg sync.WaitGroup
	room := make(chan struct{}, 4)
	for code, addresses := range providers.AddressVariables() {
		if code == "rfc2136" || code == "httpreq" {
			continue // uses DNS, which is allowed as a whole
		}
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			touched, said := driven(t, c, r, code, addresses)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case touched:
				round = append(round, code)
			case !strings.Contains(said, "wanted to connect to"):
				unknown = append(unknown, code+": "+said)
			}
		})
	}
	wg.Wait()
	slices.Sort(round)
	slices.Sort(unknown)
	if want := providers.GoRound(); !slices.Equal(round, want) {
		t.Errorf("round the gateway go %q, and package providers knows of %q", round, want)
	}
	for _, u := range unknown {
		t.Logf("made no connection: %.200s", u)
	}
}

// driven makes a provider write a record and reports whether it reached the canary.
func driven(t *testing.T, c *Client, r *rig, code string, addresses []string) (touched bool, said string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Error(err)
		return false, ""
	}
	defer l.Close()
	var n atomic.Int32
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			conn.Close()
		}
	}()
	a := confined(t, r, code, nil)
	a.Name = code
	for _, name := range providers.Variables(code) {
		switch {
		case slices.Contains(addresses, name) && strings.HasSuffix(name, "_HOST") || name == "F5XC_SERVER" || name == "EFFICIENTIP_HOSTNAME" || name == "NAMECOM_SERVER":
			a.Credentials[name] = literal(l.Addr().String())
		case slices.Contains(addresses, name):
			a.Credentials[name] = literal("http://" + l.Addr().String())
		case !strings.Contains(name, "TIMEOUT") && !strings.Contains(name, "INTERVAL") && !strings.HasSuffix(name, "TTL"):
			a.Credentials[name] = literal(cmp.Or(map[string]string{"AZURE_ENVIRONMENT": "public", "AZURE_AUTH_METHOD": "oidc", "CPANEL_MODE": "cpanel"}[name], "x"))
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	err = c.Canary(ctx, a, "x.lab.test", nil)
	if err != nil {
		said = err.Error()
	}
	return n.Load() > 0, said
}
