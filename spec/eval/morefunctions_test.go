package eval

import (
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/json"
)

// TestFunctions compares functions with Terraform's documentation, and the deliberate differences with certroll's
// earlier results.
func TestFunctions(t *testing.T) {
	cases := map[string]string{ // expression -> JSON, or "!" and a part of the error
		`startswith("hello world", "hello")`: "true", `startswith("hello", "world")`: "false", `startswith("", "")`: "true",
		`endswith("hello world", "world")`: "true", `endswith("world", "hello world")`: "false",
		`strcontains("hello world", "wor")`: "true", `strcontains("hello", "x")`: "false",
		`alltrue(["true", true])`: "true", `alltrue([true, false])`: "false", `alltrue([])`: "true", `alltrue([true, null])`: "false",
		`anytrue(["true"])`: "true", `anytrue([true, false])`: "true", `anytrue([])`: "false", `anytrue([null, false])`: "false", `anytrue([null, true])`: "true",
		`anytrue(["x"])`: "!", `alltrue("true")`: "!",
		`index(["a", "b", "c"], "b")`: "1", `index(["a", "b"], "x")`: "!not in the list", `index([], "x")`: "!not in the list", `index({ a = 1 }, "a")`: "!takes a list",
		`index([1, "1", null], null)`: "2", `index(tolist(["a", "b"]), "b")`: "1",
		`one(["a"])`: `"a"`, `one([])`: "null", `one(toset(["a"]))`: `"a"`, `one(tolist([]))`: "null", `one(["a", "b"])`: "!2 elements", `one("a")`: "!takes a list", `one(toset(["a", "b"]))`: "!2 elements",
		`jsondecode("{\"a\": [1, true, null, \"x\"]}")`: `{"a":[1,true,null,"x"]}`, `jsondecode("x")`: "!", `jsondecode("1e5")`: "100000",
		`jsondecode("\"[[[\\\"\"")`: `"[[[\""`, `jsondecode("1e999999999")`: "!two digits of exponent", `jsondecode("\"1e999999999\"")`: `"1e999999999"`,
		`regexreplace("a1b22", "[0-9]+", "-")`: `"a-b-"`, `regexreplace("ab", "(a)(b)", "$2$1")`: `"ba"`,
		// Deliberate differences from Terraform.
		`replace("a/b", "/b/", "x")`: `"a/b"`, `coalesce("", "x")`: `""`, `length("abc")`: "!", `strlen("abc")`: "3",
	}
	for src, want := range cases {
		expr, diags := hclsyntax.ParseExpression([]byte(src), "a.hcl", hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(src, diags)
		}
		b := NewBudget(t.Context(), 0, false)
		v, diags, err := Meter{b}.Run(expr, &hcl.EvalContext{Functions: Meter{b}.Functions()})
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		part, fails := strings.CutPrefix(want, "!")
		switch {
		case fails && (!diags.HasErrors() || !strings.Contains(diags.Error(), part)):
			t.Errorf("%s: %v, %v", src, v, diags)
		case !fails && diags.HasErrors():
			t.Errorf("%s: %v", src, diags)
		case !fails:
			got, err := json.Marshal(v, v.Type())
			if err != nil || string(got) != want {
				t.Errorf("%s = %s, %v; want %s", src, got, err, want)
			}
		}
	}
	deep := strings.Repeat("[", MaxNesting+1) + strings.Repeat("]", MaxNesting+1)
	b := NewBudget(t.Context(), 0, false)
	if _, err := (Meter{b}.Functions()["jsondecode"]).Call([]cty.Value{cty.StringVal(deep)}); err == nil || !strings.Contains(err.Error(), "64 deep") {
		t.Errorf("deep: %v", err)
	}
	if _, err := (Meter{b}.Functions()["jsondecode"]).Call([]cty.Value{cty.StringVal(deep[1 : len(deep)-1])}); err != nil {
		t.Errorf("not so deep: %v", err)
	}
}
