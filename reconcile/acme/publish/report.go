package publish

import (
	"sync"
)

// OneAtATime makes a report function safe for the names of an order, which
// are solved side by side.
func OneAtATime(report func(step, detail string)) func(step, detail string) {
	if report == nil {
		return func(string, string) {}
	}
	var mu sync.Mutex
	return func(step, detail string) {
		mu.Lock()
		defer mu.Unlock()
		report(step, detail)
	}
}
