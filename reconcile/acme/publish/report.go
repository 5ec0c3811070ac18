package publish

import (
	"sync"
)

// OneAtATime serializes a report function for the names of an order, which are solved
// concurrently. nil becomes a function that does nothing.
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
