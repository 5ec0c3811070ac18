package eval

import (
	"math/bits"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// weigh measures a value in bytes of text plus elements, up to MaxValue, and charges the
// traversal. cty's own work at each level (comparing types, flattening) covers all levels
// below, so weigh also charges the depth.
func (m Meter) weigh(v cty.Value) int { return m.weighAt(v, 0) }

// weighAt stops counting a collection beyond MaxValue: the caller rejects the value
// anyway.
func (m Meter) weighAt(v cty.Value, depth int64) int {
	m.spend(perElement + depth)
	v, _ = v.Unmark()
	if v == cty.NilVal || !v.IsKnown() || v.IsNull() {
		return 1
	}
	t := v.Type()
	switch {
	case t == cty.String:
		return 1 + len(v.AsString())
	case t == cty.Number:
		if beyond(v) {
			return MaxValue + 1
		}
		return 1
	case !v.CanIterateElements():
		return 1
	}
	m.order(v)
	n := 1
	for it := v.ElementIterator(); it.Next() && n <= MaxValue; {
		key, element := it.Element()
		n += m.weighAt(element, depth+1)
		if t.IsMapType() || t.IsObjectType() {
			n += 1 + len(key.AsString())
		}
	}
	return n
}

// beyond reports whether a number has more digits than a file needs. HCL keeps numbers as
// big floats, which grow with each multiplication.
func beyond(v cty.Value) bool {
	f := v.AsBigFloat()
	return f.IsInf() || f.MantExp(nil) > maxExponent || f.MantExp(nil) < -maxExponent
}

// numberCost returns the steps to format a number.
func numberCost(v cty.Value) int64 {
	if f := v.AsBigFloat(); f.IsInt() && f.MantExp(nil) < 64 {
		return perElement
	}
	return perNumber
}

// typeNodes counts the types that a type consists of, up to MaxValue.
func typeNodes(t cty.Type) int {
	n := 1
	switch {
	case t.IsCollectionType():
		n += typeNodes(t.ElementType())
	case t.IsTupleType():
		for _, e := range t.TupleElementTypes() {
			if n += typeNodes(e); n > MaxValue {
				break
			}
		}
	case t.IsObjectType():
		for _, e := range t.AttributeTypes() {
			if n += typeNodes(e); n > MaxValue {
				break
			}
		}
	}
	return n
}

// unifyCost returns the steps that cty takes to find one type for several. cty compares
// each type with each other, down to their elements, unless all are equal.
func unifyCost(types []cty.Type) int64 {
	total, same := int64(0), true
	for _, t := range types {
		total += int64(typeNodes(t))
		same = same && t.Equals(types[0])
	}
	if same {
		return total * 4
	}
	if len(types) == 2 {
		if a, b := types[0], types[1]; a.IsTupleType() && b.IsTupleType() && a.Length() == b.Length() {
			return total*4 + pairwise(a.TupleElementTypes(), b.TupleElementTypes())
		}
	}
	return Times(total, total) * 4
}

func pairwise(a, b []cty.Type) (cost int64) {
	for i := range a {
		cost += unifyCost([]cty.Type{a[i], b[i]})
	}
	return cost
}

// conversion charges the conversion of a value to a type.
func (m Meter) conversion(v cty.Value, want cty.Type) {
	if v == cty.NilVal || !v.IsKnown() || v.IsNull() || want == cty.DynamicPseudoType || want.IsCapsuleType() {
		return
	}
	switch {
	case want == cty.Number:
		m.number(v)
	case want == cty.String:
		m.text(v)
	case !want.IsCollectionType():
	default:
		m.elements(v)
		if want.IsSetType() {
			m.buckets(v)
		}
	}
}

// elements charges the conversion of a tuple or object to a list, set or map: cty unifies
// the types of all elements, and may convert the elements to texts.
func (m Meter) elements(v cty.Value) {
	t := v.Type()
	m.weigh(v)
	switch {
	case t.IsTupleType():
		m.spend(unifyCost(t.TupleElementTypes()))
	case t.IsObjectType():
		var types []cty.Type
		for _, e := range t.AttributeTypes() {
			types = append(types, e)
		}
		m.spend(unifyCost(types))
	}
	m.texts(v)
}

// buckets charges building a set. cty hashes each element and compares it with all
// elements of the same hash. The hash is a CRC-32 of the element's text, so an attacker
// can choose elements that all collide. buckets therefore does the same comparisons and
// charges each before it makes it.
func (m Meter) buckets(values ...cty.Value) {
	table := map[int][]cty.Value{}
	for _, v := range values {
		if v == cty.NilVal || v.IsMarked() || !v.IsWhollyKnown() || v.IsNull() || !v.CanIterateElements() {
			continue
		}
		n := int64(v.LengthInt())
		m.spend(Times(n*int64(bits.Len64(uint64(n))), perSorted)) // each later iteration of the set costs as much
		for it := v.ElementIterator(); it.Next(); {
			_, element := it.Element()
			m.place(table, element)
		}
	}
}

// place puts an element into its bucket, and reports whether it was already there.
func (m Meter) place(table map[int][]cty.Value, element cty.Value) bool {
	weight := int64(m.weigh(element))
	m.spend(5*weight + perNode)
	if element.Type() == cty.Number {
		m.spend(numberCost(element))
	}
	hash := element.Hash()
	for _, other := range table[hash] {
		m.spend(weight + perNode)
		if other.RawEquals(element) {
			return true
		}
	}
	table[hash] = append(table[hash], element)
	return false
}

// charge takes the steps of a function beyond weighing its arguments. An error rejects
// the arguments.
type charge func(m Meter, args []cty.Value) error

// str returns argument i if it is a known text, else "".
func str(args []cty.Value, i int) string {
	if i >= len(args) || !args[i].IsKnown() || args[i].IsNull() || args[i].Type() != cty.String {
		return ""
	}
	return args[i].AsString()
}

// graphemes charges functions that split a text into grapheme clusters.
func graphemes(m Meter, args []cty.Value) error {
	m.spend(int64(len(str(args, 0))) * 40)
	return nil
}

// trimming charges trim(), which compares each character with each character of the
// cutset.
func trimming(m Meter, args []cty.Value) error {
	m.spend(Times(int64(len(str(args, 0))), int64(len(str(args, 1)))) / 2)
	return nil
}

func converting(want cty.Type) charge {
	return func(m Meter, args []cty.Value) error {
		m.conversion(args[0], want)
		return nil
	}
}

// encoding charges jsonencode(), which writes each part of its argument.
func encoding(m Meter, args []cty.Value) error {
	m.spend(int64(m.weigh(args[0])) * perElement)
	return nil
}

func parsing(m Meter, args []cty.Value) error {
	m.number(args[0])
	return nil
}

// sorting charges n log n comparisons of texts with common beginnings.
func sorting(m Meter, args []cty.Value) error {
	n := int64(lengthOf(args[0]))
	m.spend(Times(n*int64(bits.Len64(uint64(n))), perSorted+int64(m.weigh(args[0]))/max(1, n)/4))
	return nil
}

// unifying charges functions whose result needs one type for all arguments.
func unifying(m Meter, args []cty.Value) error {
	types := make([]cty.Type, len(args))
	for i, v := range args {
		types[i] = v.Type()
	}
	m.spend(Times(int64(len(types)), int64(len(types))) * perPair) // even if all types are equal
	m.spend(unifyCost(types))
	return nil
}

// uniting charges functions that build a set of all arguments.
func uniting(m Meter, args []cty.Value) error {
	for _, v := range args {
		m.elements(v)
	}
	m.buckets(args...)
	return unifying(m, args)
}

// combining charges setproduct(): all combinations, and a set of them if an argument is a
// set.
func combining(m Meter, args []cty.Value) error {
	if err := product(m, args); err != nil {
		return err
	}
	total, weight := int64(1), int64(0)
	for _, v := range args {
		if !v.IsKnown() || v.IsNull() || !v.CanIterateElements() {
			return nil // the function itself reports it
		}
		n := int64(lengthOf(v))
		total = Times(total, n)
		weight += int64(m.weigh(v)) / max(1, n)
		m.elements(v)
		m.buckets(v)
	}
	if Times(total, weight) > MaxValue {
		return ErrTooLarge
	}
	m.spend(Times(total, int64(len(args)))*perElement*4 + Times(total, weight)*10)
	return m.collisions(args, total)
}

// collisions charges combinations whose hashes collide because the hashes of their parts
// do.
func (m Meter) collisions(args []cty.Value, total int64) error {
	if total == 0 {
		return nil
	}
	pairs := int64(1)
	for _, v := range args {
		buckets := map[int]int64{}
		for it := v.ElementIterator(); it.Next(); {
			_, element := it.Element()
			buckets[element.Hash()]++
		}
		sum := int64(0)
		for _, n := range buckets {
			sum += n * n
		}
		pairs = Times(pairs, sum)
	}
	m.spend(Times(pairs, perNode*int64(len(args))))
	return nil
}

// product rejects arguments whose sizes have too large a product: joining, replacing and
// combining can produce a result of that size.
func product(m Meter, args []cty.Value) error {
	n := 1
	for _, v := range args {
		if n *= m.weigh(v); n > 4<<20 {
			return ErrTooLarge
		}
	}
	m.spend(int64(n) * perByte)
	return nil
}

// formatWidth matches a width or precision with four or more digits, or one set by an
// argument.
var formatWidth = regexp.MustCompile(`%[^a-zA-Z%]*([0-9]{4,}|\*)`)

// formatting bounds format() and formatlist(). Each verb may write the longest argument,
// or a thousand spaces. formatlist() writes the format once per element.
func formatting(m Meter, args []cty.Value) error {
	if len(args) == 0 {
		return nil
	}
	text := str(args, 0)
	if formatWidth.MatchString(text) {
		return function.NewArgErrorf(0, "widths and precisions have at most three digits")
	}
	verbs, longest, rows := int64(strings.Count(text, "%")), int64(1000), int64(1)
	for _, v := range args[1:] {
		longest = max(longest, int64(m.weigh(v)))
		rows = max(rows, int64(lengthOf(v)))
	}
	if strings.Count(text, "%s")+strings.Count(text, "%d")+strings.Count(text, "%%") == int(verbs) {
		// The common case: each verb writes one argument, and no argument is written
		// twice.
		longest = 100 + longest/max(1, rows)
	}
	m.spend(Times(Times(verbs, rows), longest) * 2)
	return nil
}

// indenting bounds indent() to 100 spaces, and its result to four times MaxValue.
func indenting(m Meter, args []cty.Value) error {
	n := args[0]
	if !n.IsKnown() || n.IsNull() {
		return nil
	}
	if spaces, acc := n.AsBigFloat().Int64(); acc != 0 || spaces > 100 {
		return function.NewArgErrorf(0, "at most 100 spaces")
	}
	text := str(args, 1)
	if len(text)+100*strings.Count(text, "\n") > 4*MaxValue {
		return ErrTooLarge
	}
	return nil
}

// matching charges regex(): the size of Go's program for the pattern, for each byte of
// the text.
func matching(m Meter, args []cty.Value) error {
	m.pattern(args)
	return nil
}

// replacing charges regexreplace(): all matches, and the replacement written for each
// match.
func replacing(m Meter, args []cty.Value) error {
	if err := product(m, args); err != nil {
		return err
	}
	return matchingAll(m, args)
}

// machine describes the compiled program of a pattern.
type machine struct {
	size     int64
	groups   int64
	text     string
	perMatch int64
}

// pattern charges compiling a regular expression and one match. It returns nil if there
// is no pattern, or one that the function itself rejects.
func (m Meter) pattern(args []cty.Value) *machine {
	if len(args) < 2 {
		return nil
	}
	// regexreplace() takes the text first, the other functions the pattern.
	pattern, text := str(args, 0), str(args, 1)
	if len(args) == 3 {
		pattern, text = text, pattern
	}
	m.spend(parseCost(pattern))
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil // the function itself reports the mistake
	}
	x := &machine{size: programSize(tree), groups: int64(tree.MaxCap()), text: text}
	x.perMatch = Times(Times(x.size, int64(len(text))+1), 2+x.groups/2)
	m.spend(Times(x.size, 100))
	m.spend(x.perMatch)
	return x
}

// matchingAll charges functions that find all matches. After each match the search starts
// again and may scan to the end of the text. matchingAll therefore counts the matches
// first, a few at a time, and charges each batch before it searches.
func matchingAll(m Meter, args []cty.Value) error {
	x := m.pattern(args)
	if x == nil {
		return nil
	}
	re, err := regexp.Compile(str(args, map[bool]int{true: 1}[len(args) == 3]))
	if err != nil {
		return nil //nolint:nilerr // the function itself says what is wrong with it
	}
	for most := int64(4); ; most *= 4 {
		most = min(most, int64(len(x.text))+2)
		m.spend(Times(most, x.perMatch))
		found := int64(len(re.FindAllStringIndex(x.text, int(most))))
		if found < most {
			if Times(found, x.groups+1) > MaxValue {
				return ErrTooLarge
			}
			m.spend(Times(found+1, x.perMatch))
			return nil
		}
	}
}

var (
	foldFlag  = regexp.MustCompile(`\(\?[a-zA-Z]*i`)
	wideRunes = regexp.MustCompile(`[^\x00-\x7f]|\\[xpP0-7]`)
)

// parseCost bounds the steps to parse a pattern. The parser expands a case-insensitive
// class rune by rune.
func parseCost(pattern string) int64 {
	cost := int64(len(pattern)) * 60
	// A Unicode class is a table of hundreds of ranges, copied for each use.
	cost += int64(strings.Count(strings.ToLower(pattern), `\p`)) * perClass
	if foldFlag.MatchString(pattern) && wideRunes.MatchString(pattern) {
		cost += int64(strings.Count(pattern, "-")) * 300_000
	}
	return cost
}

// programSize returns the number of instructions of a compiled pattern.
func programSize(re *syntax.Regexp) int64 {
	n := int64(2)
	if re.Op == syntax.OpLiteral {
		n += int64(len(re.Rune))
	}
	for _, sub := range re.Sub {
		n += programSize(sub)
	}
	if re.Op == syntax.OpRepeat {
		n = Times(n, int64(max(re.Min, re.Max, 1)))
	}
	return n
}
