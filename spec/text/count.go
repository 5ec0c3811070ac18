package text

import (
	"strconv"
	"strings"
)

// Counted returns a number with its noun: "1 order", "2 orders".
func Counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// Some returns a list of at most most names and the number of the others: "a, b and 3
// more".
func Some(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + " and " + strconv.Itoa(len(names)-most) + " more"
}
