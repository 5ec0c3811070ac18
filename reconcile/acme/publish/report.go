package publish

import (
	"sync"
)

// StepTurn is the step in which Finish reports that it waits for another order's
// challenge, and then, without a detail, that the wait is over.
const StepTurn = "turn"

// InTurn takes a turn and reports the wait for it, if there is one.
func InTurn(report func(step, detail string), detail string, take func(waiting func()) (func(), error)) (done func(), err error) {
	waited := false
	done, err = take(func() { waited = true; report(StepTurn, detail) })
	if waited && err == nil {
		report(StepTurn, "")
	}
	return done, err
}

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
