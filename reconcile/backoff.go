package reconcile

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// The steps of the back-off between attempts, as Let's Encrypt advises its
// clients: a minute, ten, a hundred, then once a day.
// https://letsencrypt.org/docs/integration-guide/#retrying-failures
var backoffSteps = []time.Duration{time.Minute, 10 * time.Minute, 100 * time.Minute, 24 * time.Hour}

const (
	// leastWait is the shortest wait around expiry.
	leastWait = 10 * time.Minute
	// personWait is the wait where only a person can mend the cause. It still
	// ends, so that a mended cause is seen without a command.
	personWait = 24 * time.Hour
	// longestSaid bounds what an upstream may say of when to come back: a day more
	// than the week that limits are counted over. A proxy's nonsense is not to
	// outlast the certificate.
	longestSaid = historySpan
)

// backoff says until when a certificate waits after its failures-th failure in
// a row, which was at last (zero: its cause may be mended since) and of that
// class. said is the upstream's own word (zero: none), notAfter the end of what
// is live (zero: nothing is live).
//
// Around expiry the wait is a tenth of the time to it at most, and of the time
// since it: what expired long ago, as the domain is gone, is asked for daily.
//
// A rate limit's own word is kept exactly, up to eight days; a CA that breaks it
// again and again is asked less often, as after any other failure.
//
// It is a pure function of values that are kept in the record, so that neither
// a restart nor a crash loop shortens it. The jitter is derived from name and
// failures and only ever lengthens the wait, by up to a tenth.
func backoff(name string, failures int, class Class, last, said, notAfter time.Time) time.Time {
	if !last.IsZero() {
		said = sooner(said, last.Add(longestSaid))
	}
	if class == ClassRateLimited && !said.IsZero() && failures < pageAfter {
		return said
	}
	wait := backoffSteps[min(max(failures, 1), len(backoffSteps))-1]
	switch class {
	case ClassCAA, ClassCARejected, ClassPaused:
		wait = personWait
	}
	if left := notAfter.Sub(last); !notAfter.IsZero() && class != ClassPaused {
		wait = min(wait, max(left.Abs()/10, leastWait))
	}
	until := last.Add(wait + jitter(name, failures, wait/10))
	if said.After(until) {
		return said
	}
	return until
}

// jitter is a share of span that is the same for the same name and number.
func jitter(name string, n int, span time.Duration) time.Duration {
	if span <= 0 {
		return 0
	}
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(name), uint64(n)))
	return time.Duration(binary.BigEndian.Uint64(sum[:8]) % uint64(span))
}
