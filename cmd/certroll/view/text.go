package view

import (
	"fmt"
	"strings"
)

func sprint(format string, args ...any) string { return fmt.Sprintf(format, args...) }

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func joinSome(items []string, most int) string {
	if len(items) <= most {
		return strings.Join(items, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(items[:most], ", "), len(items)-most)
}

func shortSerial(s string) string {
	if len(s) > 16 {
		return s[:16] + "..."
	}
	return s
}
