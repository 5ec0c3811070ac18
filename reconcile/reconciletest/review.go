package reconciletest

import (
	"github.com/hashicorp/hcl/v2"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec"
)

// InFile puts certificates into a file of their own each, as a repo has them.
func InFile(file string, c *spec.Certificate) *spec.Certificate {
	c.File, c.Range = file, hcl.Range{Filename: file, Start: hcl.Pos{Line: 3, Column: 1}}
	return c
}

// SeenLive is the observed state in which certificates are as certroll left them.
func SeenLive(certificates ...*spec.Certificate) *plan.Observed {
	obs := &plan.Observed{Secrets: map[ledger.Location]plan.Secret{}, Records: map[string]*ledger.Record{}}
	for _, c := range certificates {
		s := LiveSecret(c, nil)
		obs.Secrets[plan.TargetOf(c)], obs.Records[c.Name] = s, LiveRecord(c, s)
	}
	return obs
}

// Certificates makes certificates name.example.com.
func Certificates(names ...string) func() []*spec.Certificate {
	return func() []*spec.Certificate {
		var list []*spec.Certificate
		for _, n := range names {
			list = append(list, InFile("certs/"+n+".hcl", Certificate(n, n+".example.com")))
		}
		return list
	}
}

func Changed(name string, how func(*spec.Certificate)) func() []*spec.Certificate {
	return func() []*spec.Certificate {
		list := Certificates(name)()
		how(list[0])
		return list
	}
}
