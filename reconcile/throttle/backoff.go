package throttle

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
)

// The steps of the back-off between attempts, as Let's Encrypt advises its
// clients: a minute, ten, a hundred, then once a day.
// https://letsencrypt.org/docs/integration-guide/#retrying-failures
var backoffSteps = []time.Duration{time.Minute, 10 * time.Minute, 100 * time.Minute, 24 * time.Hour}

const (
	// LeastWait is the shortest wait around expiry.
	LeastWait = 10 * time.Minute
	// PersonWait is the wait where only a person can mend the cause. It still
	// ends, so that a mended cause is seen without a command.
	PersonWait = 24 * time.Hour
	// longestSaid bounds what an upstream may say of when to come back: a day more
	// than the week that limits are counted over. A proxy's nonsense is not to
	// outlast the certificate.
	longestSaid = archive.HistorySpan
)

// Backoff says until when a certificate waits after its failures-th failure in
// a row, which was at last (zero: its cause may be mended since) and of that
// class. said is the upstream's own word (zero: none), notAfter the end of what
// is live (zero: nothing is live).
//
// Around expiry the wait is a tenth of the time to it at most, and of the time
// since it: what expired long ago, as the domain is gone, is asked for daily.
//
// The upstream's word is a hint and bounded by the steps here: never earlier than
// the first step (a time of 0, or a date gone by for a clock that is ahead, would
// have the CA asked again at once), and never later than longestSaid. Around expiry
// the word of a CA that is away is cut to a third of the time that is left: it is a
// guess, while a rate limit is a rule that asking earlier breaks. Within these bounds a rate
// limit's word is kept exactly; a CA that breaks its own word again and again is
// asked less often, as after any other failure.
//
// It is a pure function of values that are kept in the record, so that neither
// a restart nor a crash loop shortens it. The jitter is derived from name and
// failures and only ever lengthens the wait, by up to a tenth.
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

// hinted is the upstream's word, at most so long after the failure.
func hinted(said, last time.Time, most time.Duration) time.Time {
	if last.IsZero() || said.IsZero() {
		return said
	}
	return times.Sooner(said, last.Add(most))
}

// Jitter is a share of span that is the same for the same name and number.
func Jitter(name string, n int, span time.Duration) time.Duration {
	if span <= 0 {
		return 0
	}
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(name), uint64(n)))
	return time.Duration(binary.BigEndian.Uint64(sum[:8]) % uint64(span))
}
