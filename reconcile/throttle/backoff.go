package throttle

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
)

// backoffSteps are the waits between attempts that Let's Encrypt advises: one minute, ten,
// a hundred, then once a day.
// https://letsencrypt.org/docs/integration-guide/#retrying-failures
var backoffSteps = []time.Duration{time.Minute, 10 * time.Minute, 100 * time.Minute, 24 * time.Hour}

const (
	// LeastWait is the shortest wait around expiry, and the wait of holds without an end of
	// their own.
	LeastWait = 10 * time.Minute
	// PersonWait is the wait for a cause that only a person can fix. It ends, so that
	// certroll notices the fix without a command.
	PersonWait = 24 * time.Hour
	// longestSaid bounds a Retry-After: a day more than the week over which CAs count their
	// limits. A wrong date from a proxy must not outlast the certificate.
	longestSaid = archive.HistorySpan
)

// Backoff returns until when a certificate waits. last is the time of its last failure
// (zero: the cause may be fixed since), failures the number of failures in a row, and class
// the kind of the last one. said is the upstream's Retry-After (zero: none), and notAfter
// the end of the live certificate (zero: nothing is live).
//
// Around expiry the wait is at most a tenth of the time to expiry or since expiry. A
// certificate that expired long ago, because its domain is gone, is retried daily.
//
// The upstream's time is a hint, bounded on both sides. It is never earlier than the first
// step: a time of 0, or a date in the past by a clock that is ahead, would cause another
// request at once. It is never later than longestSaid. Around expiry, the time from a CA
// that is down is cut to a third of the time that is left, because it is a guess. The end
// of a rate limit is kept exactly: an earlier request fails and may count against the
// limit. If a CA rate-limits PageAfter times in a row, the steps apply as after any other
// failure.
//
// Backoff is a pure function of values in the record, so that neither a restart nor a crash
// loop shortens the wait. The jitter derives from name and failures and only lengthens the
// wait, by up to a tenth.
func Backoff(name string, failures int, class ledger.Class, last, said, notAfter time.Time) time.Time {
	after := func(wait time.Duration) time.Time { return last.Add(wait + Jitter(name, failures, wait/10)) }
	if class == ledger.ClassRateLimited && !said.IsZero() && failures < ledger.PageAfter {
		return times.Later(after(backoffSteps[0]), hinted(said, last, longestSaid))
	}
	wait := backoffSteps[min(max(failures, 1), len(backoffSteps))-1]
	most := longestSaid
	switch class {
	case ledger.ClassCAA, ledger.ClassCARejected, ledger.ClassPaused:
		wait = PersonWait
	}
	if left := notAfter.Sub(last); !notAfter.IsZero() && class != ledger.ClassPaused {
		wait = min(wait, max(left.Abs()/10, LeastWait))
		if class != ledger.ClassRateLimited {
			most = min(most, max(left.Abs()/3, LeastWait))
		}
	}
	return times.Later(after(wait), hinted(said, last, most))
}

// hinted returns the upstream's time, at most most after the failure.
func hinted(said, last time.Time, most time.Duration) time.Time {
	if last.IsZero() || said.IsZero() {
		return said
	}
	return times.Sooner(said, last.Add(most))
}

// Jitter returns a part of span that is always the same for the same name and number. It
// spreads retries of many certificates that failed together.
func Jitter(name string, n int, span time.Duration) time.Duration {
	if span <= 0 {
		return 0
	}
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(name), uint64(n)))
	return time.Duration(binary.BigEndian.Uint64(sum[:8]) % uint64(span))
}
