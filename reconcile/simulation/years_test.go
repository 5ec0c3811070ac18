package simulation_test

import (
	"crypto/x509"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"certroll/examples/lab/labtest"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
	"certroll/spec"
)

// TestYearOfShortLives runs certificates of 45 days and of 160 hours through a year
// without faults. Each must be renewed inside its window, and none twice.
func TestYearOfShortLives(t *testing.T) {
	for name, tc := range map[string]struct {
		lifetime time.Duration
		again    time.Duration
		each     int // orders of one certificate in a year: minimum and maximum
		most     int
	}{
		"45 days":   {45 * times.Day, 6 * time.Hour, 12, 14},
		"160 hours": {160 * time.Hour, 6 * time.Hour, 108, 112},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 5
				cs := reconciletest.Crowd(n, "example.com")
				s := reconciletest.NewSim(t, 1, tc.lifetime, tc.again, cs...)
				s.Start()
				s.Until(365 * times.Day)
				s.Stop()
				r := s.Sum()
				s.Log(t, r)
				c := s.Ca.Counts
				if c.Issued != c.Orders || c.Issued != r.Renewals || c.Issued < n*tc.each || c.Issued > n*tc.most || s.Vault.Doubly > 0 {
					t.Errorf("%d orders, %d issued, %d told, %d doubly", c.Orders, c.Issued, r.Renewals, s.Vault.Doubly)
				}
				if c.InWindow != c.Issued-n || c.Replaced != c.Issued-n {
					t.Errorf("of %d renewals %d were sent inside the window, %d with replaces", c.Issued-n, c.InWindow, c.Replaced)
				}
				if r.Failures+r.Denied+c.Refused > 0 || r.Least < tc.lifetime/4 {
					t.Errorf("%+v, %d refused", r, c.Refused)
				}
			})
		})
	}
}

// TestYearOfFailures runs a thousand certificates (two hundred under make test) through
// every fault of a bad year. None may expire, because no failure lasts as long as the
// thirty days available, and no CA limit may be exceeded.
func TestYearOfFailures(t *testing.T) {
	for name, tc := range map[string]struct {
		n     int
		again time.Duration // interval between requests for renewal information; 0: the CA offers none
	}{
		"by their threshold": {1000, 0},
		"by ARI":             {60, 12 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			n := tc.n
			switch {
			case testing.Short() || labtest.Race:
				n = min(n, 60)
			case labtest.Only(): // a thousand take two and a half minutes: only make integration runs them
				n = min(n, 200)
			}
			synctest.Test(t, func(t *testing.T) { yearOfFailures(t, n, tc.again) })
		})
	}
}

func yearOfFailures(t *testing.T, n int, again time.Duration) {
	s := reconciletest.NewSim(t, 20261125, 90*times.Day, again, portfolio(n)...)
	for _, name := range []string{"a", "b", "dr"} {
		s.Desired.DNS[name] = &spec.DNSAccount{Name: name, Challenge: spec.DNS01, Credentials: map[string]spec.Value{"TOKEN": {Source: spec.FromEnv, Name: "dns." + name}}}
	}
	if n > 300 { // an account with this many certificates has a higher limit
		s.Desired.Issuers["ca"].Limits.Orders.Burst, s.Ca.Limits.Orders.Burst = n, n
	}
	s.Ca.Wrong = func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Truncate(time.Hour) } // certificates that are due together cost one pass
	longest := s.BadYear()
	s.Start()
	s.Live(365 * times.Day)
	s.Stop()
	r := s.Sum()
	s.Log(t, r)
	t.Logf("the longest failure lasts %.1f days; %d questions for renewal information", longest.Hours()/24, s.Ca.Counts.Asked)
	if longest >= 30*times.Day {
		t.Fatal("a failure lasts longer than there is time for")
	}
	if r.Least <= 0 {
		t.Errorf("a certificate expired %s ago", -r.Least)
	}
	if len(s.Vault.Until) != n {
		t.Errorf("%d of %d certificates are live", len(s.Vault.Until), n)
	}
	if s.Ca.Counts.Refused > 0 {
		t.Errorf("%d times a limit of the CA was met", s.Ca.Counts.Refused)
	}
	if r.Renewals < 5*n || r.PerRenewal > 1.15 || s.Vault.Doubly > 0 {
		t.Errorf("%d renewals, %.3f orders for each, %d doubly", r.Renewals, r.PerRenewal, s.Vault.Doubly)
	}
}

// portfolio returns n certificates of several domains and DNS accounts, some with a
// second account as backup.
func portfolio(n int) []*spec.Certificate {
	cs := reconciletest.Crowd(n, "example.com")
	for i, c := range cs {
		c.Domains[0].ASCII = fmt.Sprintf("%s.example%d.org", c.Name, i%40)
		c.DNS = []string{[]string{"lab", "a", "b"}[i%3]}
		if i%4 == 0 {
			c.DNS = append(c.DNS, "dr")
		}
	}
	return cs
}

// TestCrashLoop starts a process every few seconds for an hour, which dies at any step
// while the CA rejects requests. The back-off must bound the number of requests.
func TestCrashLoop(t *testing.T) {
	refusals := map[string]func(*reconciletest.Sim){
		"the CA is down":            func(s *reconciletest.Sim) { s.Faults.Add("ca", time.Now(), times.Day) },
		"the DNS account refuses":   func(s *reconciletest.Sim) { s.Faults.Add("dns.lab", time.Now(), times.Day) },
		"the name cannot be proved": func(s *reconciletest.Sim) { s.Faults.Add("name.caaa.example.com", time.Now(), times.Day) },
		"nothing but the crashes":   func(*reconciletest.Sim) {},
	}
	for name, refuse := range refusals {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := reconciletest.NewSim(t, 7, 90*times.Day, 0, reconciletest.Crowd(1, "example.com")...)
				s.Opts.Patience = []time.Duration{}
				s.Start()
				s.Until(59 * times.Day)
				s.Stop()
				s.Until(61 * times.Day)
				before := s.Ca.Counts
				refuse(s)
				asked, starts := 0, 0
				ca := s.Ca.Counts
				for end := time.Now().Add(time.Hour); time.Now().Before(end); starts++ {
					dies := 1 + s.Rng.Intn(30)
					s.DieAt(dies, &asked)
					time.Sleep(time.Duration(1+s.Rng.Intn(8)) * time.Second)
				}
				t.Logf("%d starts: %d calls of the CA for a certificate, %d orders, %d failures", starts, asked, s.Ca.Counts.Orders-before.Orders, s.Ca.Counts.Failed-ca.Failed)
				if n := s.Ca.Counts.Orders - before.Orders; n > 5 {
					t.Errorf("%d orders", n)
				}
				if asked == 0 || asked > 30 {
					t.Errorf("the CA was called %d times within %d starts", asked, starts)
				}
				if s.Ca.Counts.Refused > 0 {
					t.Errorf("%d times a limit of the CA was met", s.Ca.Counts.Refused)
				}
			})
		})
	}
}

// TestSealedVaultIsAskedOnceAMinute checks that certroll contacts a sealed Vault once a
// minute, also if renewal information or an action is due meanwhile.
func TestSealedVaultIsAskedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := reconciletest.NewSim(t, 1, 90*times.Day, 6*time.Hour, reconciletest.Crowd(3, "example.com")...)
		s.Start()
		s.Until(59 * times.Day)
		s.Faults.Add("vault", time.Now(), 4*times.Day)
		s.Vault.Mu.Lock()
		asked, sealed := 0, s.Vault.Fail
		s.Vault.Fail = func(op, path string) error {
			asked++
			return sealed(op, path)
		}
		s.Vault.Mu.Unlock()
		time.Sleep(2 * times.Day)
		s.Vault.Mu.Lock()
		if asked > 2*24*60*3 {
			t.Errorf("a sealed Vault is asked %d times within two days", asked)
		}
		s.Vault.Mu.Unlock()
		s.Until(64 * times.Day)
		s.Stop()
		if r := s.Sum(); r.Renewals != 6 || r.Least < 26*times.Day {
			t.Errorf("%+v", r)
		}
	})
}
