package eval

import (
	"math/bits"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// weigh measures a value in bytes of text and elements, as far as maxValue, and
// charges the way through it. What cty does at each level (comparing types,
// flattening) goes through all levels below it, so depth is charged too.
func (m Meter) weigh(v cty.Value) int { return m.weighAt(v, 0) }

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

// beyond tells whether a number has more digits than are worth writing.
func beyond(v cty.Value) bool {
	f := v.AsBigFloat()
	return f.IsInf() || f.MantExp(nil) > maxExponent || f.MantExp(nil) < -maxExponent
}

// numberCost is what it costs to write a number out.
func numberCost(v cty.Value) int64 {
	if f := v.AsBigFloat(); f.IsInt() && f.MantExp(nil) < 64 {
		return perElement
	}
	return perNumber
}

// typeNodes counts the types that a type is made of, as far as maxValue.
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

// unifyCost is what it costs cty to find one type for several: it holds each
// against each, down to their elements, unless all are the same.
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

// conversion charges what it costs to make a value one of a type.
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

// elements charges making a list, set or map of a tuple or object: all of its
// elements get one type, and maybe become texts.
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

// buckets charges making a set: each element is hashed, and held against those
// of the same hash. Whoever writes the elements can choose them so that all of
// them have one (a CRC-32 of their text), so they are held against each other
// here, each step charged before it is taken.
func (m Meter) buckets(values ...cty.Value) {
	table := map[int][]cty.Value{}
	for _, v := range values {
		if v == cty.NilVal || v.IsMarked() || !v.IsWhollyKnown() || v.IsNull() || !v.CanIterateElements() {
			continue
		}
		n := int64(v.LengthInt())
		m.spend(Times(n*int64(bits.Len64(uint64(n))), perSorted)) // each look at the set will cost as much
		for it := v.ElementIterator(); it.Next(); {
			_, element := it.Element()
			m.place(table, element)
		}
	}
}

// place puts an element into its bucket, and tells whether it was there.
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

// charge is what a function costs beside looking at its arguments, which have
// been weighed. An error refuses the arguments.
type charge func(m Meter, args []cty.Value) error

// str is a text among the arguments; "" where it is none.
func str(args []cty.Value, i int) string {
	if i >= len(args) || !args[i].IsKnown() || args[i].IsNull() || args[i].Type() != cty.String {
		return ""
	}
	return args[i].AsString()
}

// graphemes is for functions that count what a reader takes for one character.
func graphemes(m Meter, args []cty.Value) error {
	m.spend(int64(len(str(args, 0))) * 40)
	return nil
}

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

// encoding charges jsonencode(), which writes every part of its argument.
func encoding(m Meter, args []cty.Value) error {
	m.spend(int64(m.weigh(args[0])) * perElement)
	return nil
}

func parsing(m Meter, args []cty.Value) error {
	m.number(args[0])
	return nil
}

// sorting charges n log n comparisons of texts that may begin alike.
func sorting(m Meter, args []cty.Value) error {
	n := int64(lengthOf(args[0]))
	m.spend(Times(n*int64(bits.Len64(uint64(n))), perSorted+int64(m.weigh(args[0]))/max(1, n)/4))
	return nil
}

func unifying(m Meter, args []cty.Value) error {
	types := make([]cty.Type, len(args))
	for i, v := range args {
		types[i] = v.Type()
	}
	m.spend(Times(int64(len(types)), int64(len(types))) * perPair) // also where all are the same
	m.spend(unifyCost(types))
	return nil
}

func uniting(m Meter, args []cty.Value) error {
	for _, v := range args {
		m.elements(v)
	}
	m.buckets(args...)
	return unifying(m, args)
}

// combining charges all the combinations, of which a set is made where an
// argument is one.
func combining(m Meter, args []cty.Value) error {
	if err := product(m, args); err != nil {
		return err
	}
	total, weight := int64(1), int64(0)
	for _, v := range args {
		if !v.IsKnown() || v.IsNull() || !v.CanIterateElements() {
			return nil // said by the function
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

// collisions charges combinations that fall into one bucket of a set since
// their parts do.
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

// product refuses arguments whose sizes, multiplied, are too much: joining,
// replacing and combining can make as much of them.
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

// formatWidth finds a width or precision of four digits and more, or one that
// an argument sets.
var formatWidth = regexp.MustCompile(`%[^a-zA-Z%]*([0-9]{4,}|\*)`)

// formatting bounds format() and formatlist(): each verb may write the longest
// argument, or a thousand spaces; a list is written once for each element.
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
		// The usual: each verb writes one argument, and no argument is written twice.
		longest = 100 + longest/max(1, rows)
	}
	m.spend(Times(Times(verbs, rows), longest) * 2)
	return nil
}

// indenting bounds indent().
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

// matching charges regex(), by the size of the machine that Go makes of the
// pattern, for each byte of the text.
func matching(m Meter, args []cty.Value) error {
	m.pattern(args)
	return nil
}

// replacing is both for every match: what replaces it is written each time.
func replacing(m Meter, args []cty.Value) error {
	if err := product(m, args); err != nil {
		return err
	}
	return matchingAll(m, args)
}

// machine is what a pattern becomes.
type machine struct {
	size     int64
	groups   int64
	text     string
	perMatch int64
}

// pattern charges the compilation of the regular expression and one match of
// it. It is nil where there is none, or one that the function itself refuses.
func (m Meter) pattern(args []cty.Value) *machine {
	if len(args) < 2 {
		return nil
	}
	// regexreplace() has the text first, the others the pattern.
	pattern, text := str(args, 0), str(args, 1)
	if len(args) == 3 {
		pattern, text = text, pattern
	}
	m.spend(parseCost(pattern))
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil // the function itself says what is wrong with it
	}
	x := &machine{size: programSize(tree), groups: int64(tree.MaxCap()), text: text}
	x.perMatch = Times(Times(x.size, int64(len(text))+1), 2+x.groups/2)
	m.spend(Times(x.size, 100))
	m.spend(x.perMatch)
	return x
}

// matchingAll charges functions that find every match. After each of them the
// search begins anew, and may go through to the end of the text again; so the
// matches are counted first, a few at a time.
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

// parseCost bounds what reading a pattern costs. A class without regard to case
// is made rune by rune.
func parseCost(pattern string) int64 {
	cost := int64(len(pattern)) * 60
	// A class of Unicode is a table of hundreds of ranges, copied each time.
	cost += int64(strings.Count(strings.ToLower(pattern), `\p`)) * perClass
	if foldFlag.MatchString(pattern) && wideRunes.MatchString(pattern) {
		cost += int64(strings.Count(pattern, "-")) * 300_000
	}
	return cost
}

// programSize is the number of instructions that a pattern is compiled to.
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
