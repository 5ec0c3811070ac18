package settings

import (
	"fmt"
	"slices"
	"strings"

	"certroll/spec"
)

// Allowances returns the lines of certroll.hcl that allow the held blocks, together with
// the elements that it already allows.
func (s *Settings) Allowances(holds []spec.ConcernedHold) string {
	type key struct{ block, setting string }
	values := map[key][]string{}
	var order []key
	var blocks []string // blocks to move to certroll.hcl
	single := map[key]bool{}
	for _, h := range holds {
		allow := h.Rule.Allow
		if allow.Block == "" {
			if allow.Text != "" && !slices.Contains(blocks, allow.Text) {
				blocks = append(blocks, allow.Text)
			}
			continue
		}
		k := key{allow.Block, allow.Setting}
		if values[k] == nil {
			order = append(order, k)
			if allow.List {
				values[k] = s.allowedAlready(allow)
			}
		}
		single[k] = !allow.List
		if !slices.Contains(values[k], allow.Value) {
			values[k] = append(values[k], allow.Value)
		}
	}
	var b strings.Builder
	slices.SortStableFunc(order, func(a, b key) int { return strings.Compare(a.block, b.block) })
	for i, k := range order {
		if i == 0 || order[i-1].block != k.block {
			fmt.Fprintf(&b, "%s {\n", k.block)
		}
		if single[k] {
			fmt.Fprintf(&b, "  %s = %s\n", k.setting, values[k][0])
		} else {
			fmt.Fprintf(&b, "  %s = [%s]\n", k.setting, strings.Join(values[k], ", "))
		}
		if i == len(order)-1 || order[i+1].block != k.block {
			b.WriteString("}\n")
		}
	}
	for _, block := range blocks {
		b.WriteString(block + "\n")
	}
	return b.String()
}

// allowedAlready returns the present elements of a list in certroll.hcl.
func (s *Settings) allowedAlready(allow spec.Allowance) []string {
	var list []string
	if allow.Block == "trust" {
		switch allow.Setting {
		case "endpoints":
			list = s.Trust.Endpoints
		case "vault":
			list = s.Trust.Vault
		}
	}
	quoted := make([]string, len(list))
	for i, v := range list {
		quoted[i] = fmt.Sprintf("%q", v)
	}
	return quoted
}
