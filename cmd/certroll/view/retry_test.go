package view

import (
	"bytes"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/recorder"
)

// TestRetryNamesWhatEnds checks that retry names the hold that ended, speaks of an issuer
// or DNS account only if one is held, and does not claim to have ended a hold that a new
// credential may have ended before.
func TestRetryNamesWhatEnds(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	hold := &ledger.Hold{Until: at, Class: ledger.ClassDNSUnauthorized}
	event := &ledger.Event{}
	for want, done := range map[string]recorder.Retried{
		"api: its hold until 2026-11-24T09:00:00Z (dns_unauthorized, 2 failures in a row) no longer applies; the next run tries it\n": {Hold: hold, Event: event, Failures: 2},
		"api: its hold until 2026-11-24T09:00:00Z (undone) is ended; the next run tries it\n":                                         {Undone: &recorder.UndoneHold{Until: at, Held: true}, Event: event},
		"api: if its secret disappears again, the next run replaces it without a wait until 2026-11-24T09:00:00Z (undone)\n":          {Undone: &recorder.UndoneHold{Until: at}, Event: event},
		"api: it is the next to be tried where its issuer or DNS account is held for all (certroll explain api)\n":                    {Event: event},
		"api: nothing holds it back by itself (certroll explain api)\n":                                                               {},
	} {
		done.Certificate = "api"
		var out bytes.Buffer
		WriteRetry(&out, Palette{}, NewRetry([]recorder.Retried{done}, ""))
		if got := out.String(); got != want {
			t.Errorf("got  %swant %s", got, want)
		}
	}
}
