package attempt

import (
	"time"

	"certroll/reconcile/times"
)

const (
	// askTimeout bounds one query for renewal information.
	askTimeout = 30 * time.Second
	// AskNoAnswer is the wait after a failed query, unless the CA names a later time.
	// askUnsupported is the wait if the CA offers no renewal information.
	AskNoAnswer    = time.Hour
	askUnsupported = times.Day
	// MostAsk is the longest wait between two queries, whatever Retry-After says. RFC
	// 9773 section 4.3.2 has clients limit Retry-After to a reasonable range.
	MostAsk = 2 * times.Day
)
