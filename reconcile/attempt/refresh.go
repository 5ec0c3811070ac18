package attempt

import (
	"time"

	"certroll/reconcile/times"
)

const (
	// askTimeout bounds one question for renewal information.
	askTimeout = 30 * time.Second
	// AskNoAnswer is when a CA that gave no good answer is asked again, unless it
	// named a later time, and askUnsupported one that offers none.
	AskNoAnswer    = time.Hour
	askUnsupported = times.Day
	// MostAsk is the longest time between two questions.
	MostAsk = 2 * times.Day
)
