package decode

import (
	"context"
	"flag"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"certroll/spec"
	"certroll/spec/eval"
	"certroll/spec/spectest"
)

// cpu returns the CPU time of this process over all cores.
func cpu(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal("asking for the time used:", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const (
	mostInput = 64 << 10        // bytes
	mostCPU   = 2 * time.Second // the limit for such an input
)

// costly decodes a file, fails if decoding exceeds the limit for any file of that size, and returns the diagnostics.
func costly(t testing.TB, src string) string {
	t.Helper()
	if len(src) > mostInput {
		t.Fatalf("the input has %d bytes", len(src))
	}
	before := cpu(t)
	_, diags := Files(context.Background(), []spec.File{{Path: "a.hcl", Bytes: []byte(src)}, {Path: "b.hcl", Bytes: []byte(world)}}, strict)
	took := cpu(t) - before
	if took > mostCPU && !raced {
		t.Errorf("%d bytes took %s of CPU:\n%.300s\n%.300s", len(src), took.Round(time.Millisecond), src, spectest.Text(diags))
	}
	if testing.Verbose() {
		fmt.Printf("COST %s %s\n", took.Round(time.Millisecond), t.Name())
	}
	t.Logf("%s for %d bytes: %.100q", took.Round(time.Millisecond), len(src), spectest.Text(diags))
	return spectest.Text(diags)
}

// fuzzing reports whether `go test -fuzz` or one of its workers runs.
func fuzzing() bool {
	return flag.Lookup("test.fuzz").Value.String() != "" || flag.Lookup("test.fuzzworker").Value.String() == "true"
}

// TestBombs: the work that a small file can cause is bounded, whatever functions it calls and whatever errors it
// triggers.
func TestBombs(t *testing.T) {
	all := bombs()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) { costly(t, all[name]) })
	}
}

// values are locals that the functions and operators of this test are applied to.
var values = sync.OnceValue(func() string {
	same := colliding(1_000)
	return `locals {
  s      = "` + strings.Repeat("x", 100) + `"
  s2     = join("", [for i in range(100) : local.s])
  text   = join("", [for i in range(25) : local.s2])
  digits = join("", [for i in range(20) : replace(local.s2, "x", "7")])
  lines  = join("\n", [for i in range(1000) : "x"])
  uni    = join("", [for i in range(1000) : "` + strings.Repeat("e\u0301\u0327", 20) + `"])
  nums   = flatten([for i in range(20) : [for j in range(1000) : i * 1000 + j]])
  big10  = flatten([for i in range(4) : [for j in range(1000) : 12345678900000000000 + i * 1000 + j]])
  words  = [for n in local.nums : "w${n}"]
  mixed  = flatten([for i in range(2) : [for j in range(1000) : j == 7 ? [true] : [j, "a"]]])
  object = { for n in local.nums : "k${n}" => n }
  objs   = [for i in range(2000) : { for j in range(i % 5) : "a${j}" => j }]
  same   = [` + same + `]
  deep   = ` + strings.Repeat("[", 50) + strings.Repeat("]", 50) + `
}
`
})

// colliding returns n texts with the same cty hash, which is the CRC-32 of the quoted text.
func colliding(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%q, ", alike(fmt.Sprintf("%08d", i)))
	}
	return b.String()
}

// alike appends bytes until the CRC of the quoted text has a fixed value in its low bits. An attacker with more time
// can make all bits collide.
func alike(s string) string {
	for i := 0; ; i++ {
		text := fmt.Sprintf("%s%x", s, i)
		for len(text) < 14 {
			text += "z"
		}
		if crc32.ChecksumIEEE([]byte(`"`+text+`"`))&0xfff == 0x5a5 {
			return text
		}
	}
}

func bombs() map[string]string {
	m := map[string]string{
		// Found by hand.
		"regexall, many alternatives": alternatives(),
		"distinct of many":            "locals {\n a = range(1000)\n b = flatten([for i in range(60) : [for j in local.a : i*1000+j]])\n c = length(distinct(local.b))\n}\n",
		"a long name that is near":    "locals {\n " + strings.Repeat("a", 20_000) + " = 1\n x = local." + strings.Repeat("ab", 10_000) + "\n y = local." + strings.Repeat("ab", 9_000) + "\n}\n",
		"names, none of them known":   unknownNames(),
		"a long function in a loop":   "locals {\n x = [for i in range(1000) : [for j in range(1000) : can(" + strings.Repeat("f", 30_000) + "())]]\n}\n",
		"unknown functions in a loop": "locals {\n x = [for i in range(1000) : [for j in range(1000) : can(fffffffffffffffff())]]\n}\n",
		"a long attribute in a loop":  "locals {\n o = {}\n x = [for i in range(1000) : [for j in range(1000) : can(local.o." + strings.Repeat("f", 30_000) + ")]]\n}\n",
		"loops alone":                 "locals {\n r = range(1000)\n x = [for i in local.r : [for j in local.r : [for k in local.r : k]]]\n}\n",
		"loops that drop all":         "locals {\n r = range(1000)\n x = [for i in local.r : [for j in local.r : [for k in local.r : k if false]]]\n}\n",
		"loops that fail":             "locals {\n r = range(1000)\n x = [for i in local.r : [for j in local.r : k]]\n y = [for i in local.r : [for j in local.r : i.x]]\n}\n",
		"loops of one key":            "locals {\n r = range(1000)\n k = join(\"\", [for i in local.r : \"" + strings.Repeat("k", 200) + "\"])\n x = { for i in local.r : local.k => i }\n}\n",
		"instances":                   "locals {\n r = range(1000)\n}\ncertificate \"c\" {\n for_each = toset(flatten([for i in local.r : [for j in range(60) : \"${i}x${j}\"]]))\n domains = [\"${each.key}.example.com\"]\n issuer = issuer.le\n dns = dns.main\n}\n",
		"instances that are wrong":    "locals {\n r = range(1000)\n}\ncertificate \"c\" {\n for_each = toset(flatten([for i in local.r : [for j in range(60) : \"${i}x${j}\"]]))\n domains = [\"" + strings.Repeat("a", 20_000) + "${each.key}\"]\n issuer = issuer.lee\n dns = dns.main\n on_remove = \"abcdefghijklmnopqrstuvwxyz\"\n}\n",
		"domains":                     "locals {\n r = range(1000)\n}\ncertificate \"c\" {\n domains = flatten([for i in local.r : [for j in range(40) : \"a${i}x${j}.example.com\"]])\n issuer = issuer.le\n dns = dns.main\n}\n",
		"a domain of many letters":    "certificate \"c\" {\n domains = [\"" + strings.Repeat("äöüß", 7_000) + "\"]\n issuer = issuer.le\n dns = dns.main\n}\n",
		"endpoints":                   "certificate \"c\" {\n domains = [for i in range(1000) : \"a${i}.example.com\"]\n probe = flatten([for i in range(20) : [for j in range(1000) : \"b${i}x${j}.example.com:443\"]])\n issuer = issuer.le\n dns = dns.main\n}\n",
		"fields":                      "locals {\n r = range(1000)\n}\ncertificate \"c\" {\n for_each = toset(flatten([for i in local.r : [for j in range(60) : \"${i}x${j}\"]]))\n domains = [\"${each.key}.example.com\"]\n issuer = issuer.le\n dns = dns.main\n vault {\n fields = { k = \"${cert.private_key}" + strings.Repeat(`${"x"}`, 300) + "\" }\n }\n}\n",
		"keystores":                   "certificate \"c\" {\n domains = [\"a.example.com\"]\n issuer = issuer.le\n dns = dns.main\n vault {\n fields = { k = join(\"\", [for i in range(1000) : pkcs12(env(\"CERTROLL_DNS_X\"))]) }\n }\n}\n",
		"a number of many digits":     "locals {\n x = " + strings.Repeat("7", 60_000) + "\n}\n",
		"mistakes of syntax":          strings.Repeat("= \"\n{", 12_000),
		"unclosed":                    strings.Repeat("a \"b\" {\n", 8_000),
		"settings":                    settingsOf(6_000),
		"a template of many parts":    values() + "locals {\n x = length(\"" + strings.Repeat("${local.text}", 500) + "\")\n}\n",
		"lists of large lists":        values() + "locals {\n x = [" + strings.Repeat("local.words,", 1_000) + "]\n y = length([" + strings.Repeat("local.words,", 1_000) + "])\n z = true ? [" + strings.Repeat("local.words,", 500) + "] : []\n}\n",
		"deep values":                 deepLocals(),
	}
	return m
}

func bombOf(call string) string { return values() + "locals {\n bomb = " + call + "\n}\n" }

// often puts a call into a loop.
func often(call string) string { return "[for i in range(1000) : can(" + call + ")]" }

// arguments returns one value of each type for calls to every function.
func arguments() map[string]string {
	m := map[string]string{}
	for name := range (eval.Meter{}).Functions() {
		if slices.Contains([]string{"try", "can", "distinct"}, name) {
			continue
		}
		for i, a := range []string{"local.text", "local.digits", "local.uni", "local.lines", "local.nums", "local.big10", "local.words", "local.mixed", "local.object", "local.objs", "local.same", "local.deep", "1", "0.3"} {
			m[fmt.Sprintf("%s %d", name, i)] = fmt.Sprintf("%s(%s)", name, a)
			m[fmt.Sprintf("%s %d twice", name, i)] = fmt.Sprintf("%s(%s, %[2]s)", name, a)
		}
	}
	return m
}

// FuzzCost: no input of 64 KB uses more than two seconds of CPU. Its seeds are all bombs and the worst case of each
// function. `make fuzz` runs it without coverage instrumentation, which is ten times slower.
func FuzzCost(f *testing.F) {
	spectest.Seeds(f)
	if fuzzing() { // all seeds take half an hour of CPU
		for _, src := range bombs() {
			f.Add([]byte(src))
		}
		for _, call := range worst() {
			f.Add([]byte(bombOf(call)))
			f.Add([]byte(bombOf(often(call))))
		}
		rest := arguments()
		for i, name := range slices.Sorted(maps.Keys(rest)) {
			if i%50 == 0 {
				f.Add([]byte(bombOf(rest[name])))
			}
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) <= mostInput {
			costly(t, string(src))
		}
	})
}

// worst returns calls and operators, each with the arguments that cost it most.
func worst() map[string]string {
	m := map[string]string{
		"equal":       `local.words == [for w in local.words : w]`,
		"condition":   `true ? local.mixed : [for m in local.mixed : "x"]`,
		"conditional": `true ? local.objs : concat(local.objs, [{}])`,
		"objects":     `true ? local.object : { a = "x", b = [1] }`,
		"add":         `local.digits + 1`,
		"negate":      `-local.digits`,
		"index":       `local.nums[local.digits]`,
		"splat":       `local.objs[*].a1`,
		"splat all":   `[local.words][*][*]`,
		"loop of set": `[for x in toset(local.objs) : 1]`,
		"template":    `"${local.text}${local.digits}%{for w in local.words}${w}%{endfor}"`,
		"numbers":     `join("", [for i in range(1000) : 1.3e99 / (i + 7)])`,
		"try":         `try(local.nums.a, local.nums.b, local.words.c, local.text.d)`,
	}
	maps.Copy(m, map[string]string{
		"distinct":            `distinct(local.same)`,
		"distinct numbers":    `distinct(local.big10)`,
		"regex (a|b)":         `regex("(x|y|z)*$", local.text)`,
		"regex repeat":        `regex("((x{10}){10}){10}y", local.text)`,
		"regex groups":        `regex("` + strings.Repeat("(x)|", 2_000) + `y", local.s2)`,
		"regexall quadratic":  `regexall("x*y|x", local.text)`,
		"regexall empty":      `regexall("` + strings.Repeat("()", 1_000) + `", local.s2)`,
		"regex fold":          `regex("(?i)` + strings.Repeat(`[B-\\x{1e942}]`, 500) + `", "x")`,
		"regex classes":       `regex("` + strings.Repeat(`\\pL`, 5_000) + `", "x")`,
		"regexreplace":        `regexreplace(local.s2, "x*y|x", "a")`,
		"regexreplace expand": `regexreplace(local.s, "(x)", "` + strings.Repeat("$1", 300) + `")`,
		"replace":             `replace(local.text, "x", local.s)`,
		"replace nothing":     `replace(local.text, "", "abc")`,
		"trim":                `trim(local.uni, replace(local.uni, "e", "f"))`,
		"format":              `format("` + strings.Repeat("%[1]s", 5_000) + `", local.text)`,
		"format wide":         `format("` + strings.Repeat("%[1]999s", 5_000) + `", "x")`,
		"format json":         `format("` + strings.Repeat("%#[1]v", 5_000) + `", local.words)`,
		"formatlist":          `formatlist("` + strings.Repeat("%s", 1) + `", local.words)`,
		"formatlist wide":     `formatlist("` + strings.Repeat("%[1]999s", 500) + `", local.words)`,
		"indent":              `indent(100, local.lines)`,
		"join":                `join(local.text, local.words)`,
		"join some":           `join(", ", local.words)`,
		"sort":                `sort(local.words)`,
		"split":               `split("", local.text)`,
		"substr":              `substr(local.uni, 5000, 10)`,
		"setproduct":          `setproduct(range(500), range(500))`,
		"setproduct sets":     `setproduct(toset(local.same), toset(range(60)))`,
		"setunion":            `setunion(local.same, local.words, local.big10)`,
		"setunion numbers":    `setunion(local.big10, local.nums)`,
		"toset mixed":         `toset(local.mixed)`,
		"zipmap":              `zipmap(local.words, local.words)`,
		"parseint":            `parseint(local.digits, 36)`,
		"chunklist":           `chunklist(local.words, 1)`,
		"merge":               `merge(local.object, local.object, local.object)`,
		"expanded":            `max(local.nums...)`,
		"expanded sets":       `setunion([for w in local.words : [w]]...)`,
		"coalesce":            `coalesce(local.words...)`,
		"coalesce mixed":      `coalesce(local.mixed...)`,
		"index":               `index(local.words, "w")`,
		"index of objects":    `index([for i in range(500) : local.deep], local.object)`,
		"alltrue":             `alltrue([for w in local.nums : true])`,
		"jsondecode digits":   `jsondecode("[${join(",", [for n in range(1000) : "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"])}]")`,
		"jsondecode objects":  `jsondecode("{${join(",", [for n in local.nums : "\"${n}\":{}"])}}")`,
		"jsondecode texts":    `jsondecode("[${join(",", [for n in local.nums : "\"\""])}]")`,
		"jsondecode unlike":   `tolist(jsondecode("[${join(",", [for n in range(1000) : "{\"a${n}\":1}"])}]"))`,
		"jsondecode deep":     `jsondecode(join("", [for n in local.nums : "["]))`,
		"jsondecode number":   `jsondecode(local.digits)`,
		"jsondecode wrong":    `jsondecode("[${join(",", local.words)}]")`,
		"flatten":             `flatten([for i in range(100) : local.words])`,
	})
	return m
}

func alternatives() string {
	var b strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&b, "x*x*y%d|", i)
	}
	return "locals {\n p = \"(?:" + b.String() + "z)\"\n s = join(\"\", [for i in range(1000) : \"" + strings.Repeat("x", 100) + "\"])\n r = [for i in range(1000) : length(regexall(\"${local.p}${i}\", local.s))]\n}\n"
}

func unknownNames() string {
	var b strings.Builder
	b.WriteString("locals {\n")
	for i := range 2_500 {
		fmt.Fprintf(&b, " name%d = local.nome%d\n", i, i)
	}
	return b.String() + "}\n"
}

func settingsOf(n int) string {
	var b strings.Builder
	b.WriteString("certificate \"c\" {\n for_each = toset([for i in range(1000) : \"a${i}\"])\n")
	for i := range n {
		fmt.Fprintf(&b, "a%d=1\n", i)
	}
	return b.String() + "}\n"
}

// deepLocals nests a value far deeper than brackets may nest.
func deepLocals() string {
	var b strings.Builder
	b.WriteString("locals {\n v0 = 1\n")
	for i := range 190 {
		fmt.Fprintf(&b, " v%d = %slocal.v%d%s\n", i+1, strings.Repeat("[", 60), i, strings.Repeat("]", 60))
	}
	return b.String() + " x = [for i in range(1000) : local.v190 == local.v190]\n y = flatten(local.v190)\n z = true ? local.v190 : [local.v190]\n}\n"
}

// TestCollectionsOfOneType: converting a tuple to a collection takes time linear in its length if all elements have one
// type. cty compares every type with every other: 20 seconds for 20,000 elements.
func TestCollectionsOfOneType(t *testing.T) {
	for _, call := range []string{
		"tolist(local.nums)", "tomap({ for w in local.words : w => 1 })", "setunion([local.nums, local.nums]...)", "coalesce([for n in local.nums : n]...)",
	} {
		t.Run(call, func(t *testing.T) { costly(t, bombOf(call)) })
	}
}
