package edit

import (
	"strings"
	"testing"

	"certroll/spec"
	"certroll/spec/spectest"
)

// TestEditOneOfMany: an edit of one certificate of a for_each changes no other one.
func TestEditOneOfMany(t *testing.T) {
	many := func(inner string) string {
		return "# above\ncertificate \"shop\" {\n  for_each = toset([\"porto\", \"lyon\"])\n  domains  = [\"${each.key}.example.com\"]\n  issuer   = issuer.le\n  dns      = dns.main\n" + inner + "}\n# below\n"
	}
	rotate := func(r Rotating) func(*Editor) error {
		return func(e *Editor) error { return e.Rotate("shop.porto", r) }
	}
	leaked := rotate(Rotating{Reason: "leaked"})
	revoked := rotate(Rotating{Reason: "leaked", Revoke: true, Code: "keyCompromise"})
	disable := func(e *Editor) error { return e.Disable("shop.porto", "moves", "2199-12-31") }
	enable := func(e *Editor) error { return e.Enable("shop.porto") }
	const cond = "each.key == \"porto\""
	tests := map[string]struct {
		edit         func(*Editor) error
		before, want string
	}{
		"rotate: new":            {leaked, "", "  rotate   = " + cond + " ? \"leaked\" : null\n"},
		"rotate: others had one": {leaked, "  rotate   = \"2026 drill\" # all\n", "  rotate   = " + cond + " ? \"leaked\" : \"2026 drill\" # all\n"},
		"rotate: another key": {leaked, "  rotate   = each.key == \"lyon\" ? \"old\" : null\n",
			"  rotate   = " + cond + " ? \"leaked\" : each.key == \"lyon\" ? \"old\" : null\n"},
		"rotate: the same key": {leaked, "  rotate   = (each.key == \"lyon\" ? \"old\" : " + cond + " ? \"seen\" : null)\n",
			"  rotate   = (each.key == \"lyon\" ? \"old\" : " + cond + " ? \"leaked\" : null)\n"},
		"rotate: over lines": {leaked, "  rotate = trimspace(<<-EOT\n    old\n  EOT\n  )\n",
			"  rotate = " + cond + " ? \"leaked\" : trimspace(<<-EOT\n    old\n  EOT\n  )\n"},
		"rotate: from a map": {leaked, "  rotate   = try({ lyon = \"old\" }[each.key], null)\n",
			"  rotate   = " + cond + " ? \"leaked\" : try({ lyon = \"old\" }[each.key], null)\n"},
		"rotate: escapes": {rotate(Rotating{Reason: `a "b" ${c}`}), "", "  rotate   = " + cond + " ? \"a \\\"b\\\" $${c}\" : null\n"},
		"rotate: a block": {leaked, "  rotate {\n    reason = \"old\" # why\n    revoke = true\n    code   = \"keyCompromise\"\n  }\n",
			"  rotate {\n    reason = " + cond + " ? \"leaked\" : \"old\" # why\n    revoke = " + cond + " ? false : true\n    code   = " + cond + " ? null : \"keyCompromise\"\n  }\n"},
		"revoke: new": {revoked, "",
			"  rotate {\n    reason = " + cond + " ? \"leaked\" : null\n    revoke = " + cond + "\n    code   = " + cond + " ? \"keyCompromise\" : null\n  }\n"},
		"revoke: others had one": {rotate(Rotating{Reason: "leaked", Revoke: true}), "  rotate   = \"old\" # all\n",
			"  rotate {\n    reason = " + cond + " ? \"leaked\" : \"old\"\n    revoke = " + cond + "\n  } # all\n"},
		"revoke: a block": {revoked, "  rotate { reason = \"old\" }\n",
			"  rotate {\n    reason = " + cond + " ? \"leaked\" : \"old\"\n    revoke = " + cond + "\n    code   = " + cond + " ? \"keyCompromise\" : null\n  }\n"},
		"disable: new": {disable, "", "  renewal {\n    auto   = " + cond + " ? false : null\n    reason = " + cond + " ? \"moves\" : null\n    until  = " + cond + " ? \"2199-12-31\" : null\n  }\n"},
		"disable: others are off": {disable, "  renewal {\n    auto   = each.key != \"lyon\"\n    reason = each.key == \"lyon\" ? \"sold\" : null\n  }\n",
			"  renewal {\n    auto   = " + cond + " ? false : each.key != \"lyon\"\n    reason = " + cond + " ? \"moves\" : each.key == \"lyon\" ? \"sold\" : null\n    until  = " + cond + " ? \"2199-12-31\" : null\n  }\n"},
		"enable: what disable wrote": {enable, "  renewal {\n    auto   = " + cond + " ? false : null\n    reason = " + cond + " ? \"moves\" : null\n    until  = " + cond + " ? \"2199-12-31\" : null\n  }\n", ""},
		"enable: others stay off": {enable, "  renewal {\n    auto   = false\n    reason = \"sold\"\n  }\n",
			"  renewal {\n    auto   = " + cond + " ? true : false\n    reason = " + cond + " ? null : \"sold\"\n  }\n"},
		"enable: one of two": {enable, "  renewal {\n    auto = each.key == \"lyon\" ? false : " + cond + " ? false : null\n  }\n",
			"  renewal {\n    auto = each.key == \"lyon\" ? false : null\n  }\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			for ending, change := range map[string]func(string) string{
				"unix": func(s string) string { return s }, "dos": func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
			} {
				checkEdit(t, ending, tc.edit, change(many(tc.before)), change(many(tc.want)))
			}
		})
	}
}

// TestEnableOneUnderDefaults enables one certificate where a defaults block disables all.
func TestEnableOneUnderDefaults(t *testing.T) {
	const rest = "defaults {\n  issuer = issuer.le\n  dns    = dns.main\n  renewal {\n    auto   = false\n    reason = \"freeze\"\n  }\n}\n"
	const block = "certificate \"shop\" {\n  for_each = { porto = 1, lyon = 2 }\n  domains  = [\"${each.key}.example.com\"]\n"
	checkEdit(t, "enable", func(e *Editor) error { return e.Enable("shop.porto") }, rest+block+"}\n",
		rest+block+"  renewal {\n    auto = each.key == \"porto\" ? true : null\n  }\n}\n")
}

// TestEditOneCannot: an edit of one certificate that a policy forbids fails and changes nothing.
func TestEditOneCannot(t *testing.T) {
	const src = "certificate \"shop\" {\n  for_each = toset([\"porto\"])\n  domains  = [\"${each.key}.example.com\"]\n  issuer   = issuer.le\n  dns      = dns.main\n}\n"
	trust := strict
	trust.Files = []spec.File{{Path: "certroll.hcl", Bytes: []byte("policy \"all\" {\n  files = [\"**\"]\n  blocks = [\"issuer\", \"dns\", \"certificate\"]\n  pause = false\n}\n")}}
	e, diags := New(t.Context(), []spec.File{{Path: "a.hcl", Bytes: []byte(src)}, {Path: "b.hcl", Bytes: []byte(world)}}, trust)
	if e == nil {
		t.Fatal(spectest.Text(diags))
	}
	err := e.Disable("shop.porto", "moves", "")
	if err == nil || !strings.Contains(err.Error(), "allow renewal.auto = false") || len(e.Changed()) != 0 {
		t.Errorf("it says %v", err)
	}
}
