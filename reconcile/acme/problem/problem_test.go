package problem

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-acme/lego/v4/acme"

	"certroll/reconcile/ledger"
)

func TestAnswerClass(t *testing.T) {
	tests := map[string]struct {
		kind, detail string
		status       int
		retryAfter   string
		want         ledger.Class
	}{
		"limit":                     {"rateLimited", "too many certificates", 429, "60", ledger.ClassRateLimited},
		"limit without a header":    {"rateLimited", "too many certificates", 429, "", ledger.ClassRateLimited},
		"pause":                     {"rateLimited", "Your account is temporarily prevented: paused", 429, "", ledger.ClassPaused},
		"pause in Boulder's words":  {"rateLimited", "Your account is temporarily prevented from requesting certificates for a.example.com and possibly others. Please visit: https://ca.example.com/sfe/v1/unpause?jwt=x", 429, "", ledger.ClassPaused},
		"limit of paused wording":   {"rateLimited", "paused for a while", 429, "60", ledger.ClassRateLimited},
		"busy":                      {"rateLimited", "Service busy; retry later.", 503, "2", ledger.ClassRateLimited},
		"internal":                  {"serverInternal", "oops", 500, "", ledger.ClassCAUnavailable},
		"nonces that never fit":     {"badNonce", "no", 400, "", ledger.ClassCAUnavailable},
		"CAA":                       {"caa", "forbidden", 403, "", ledger.ClassCAA},
		"no binding":                {"externalAccountRequired", "no", 403, "", ledger.ClassConfig},
		"terms":                     {"userActionRequired", "agree", 403, "", ledger.ClassConfig},
		"contact":                   {"invalidContact", "no", 400, "", ledger.ClassConfig},
		"profile":                   {"invalidProfile", "no", 400, "", ledger.ClassConfig},
		"name":                      {"rejectedIdentifier", "no", 400, "", ledger.ClassCARejected},
		"account deactivated":       {"unauthorized", "no", 403, "", ledger.ClassCARejected},
		"malformed":                 {"malformed", "no", 400, "", ledger.ClassCARejected},
		"unknown kind":              {"somethingNew", "no", 418, "", ledger.ClassCARejected},
		"unknown kind, server side": {"somethingNew", "no", 502, "", ledger.ClassCAUnavailable},
	}
	for name, test := range tests {
		class, advice := AnswerClass(&acme.ProblemDetails{Type: URN + test.kind, Detail: test.detail, HTTPStatus: test.status}, test.retryAfter)
		if class != test.want || advice == "" {
			t.Errorf("%s: got class %s and advice %q, want %s", name, class, advice, test.want)
		}
	}
}

func TestValidationClass(t *testing.T) {
	for kind, want := range map[string]ledger.Class{
		"unauthorized": ledger.ClassValidation, "connection": ledger.ClassValidation, "dns": ledger.ClassValidation, "tls": ledger.ClassValidation,
		"incorrectResponse": ledger.ClassValidation, "caa": ledger.ClassCAA, "rateLimited": ledger.ClassRateLimited, "serverInternal": ledger.ClassCAUnavailable,
	} {
		if class, advice := ValidationClass(&acme.ProblemDetails{Type: URN + kind}); class != want || advice == "" {
			t.Errorf("%s: got class %s and advice %q, want %s", kind, class, advice, want)
		}
	}
}

func TestOrderClass(t *testing.T) {
	for kind, want := range map[string]ledger.Class{
		"unauthorized": ledger.ClassValidation, "dns": ledger.ClassValidation, "malformed": ledger.ClassValidation, "caa": ledger.ClassCAA, "rateLimited": ledger.ClassRateLimited,
		"serverInternal": ledger.ClassCAUnavailable, "badCSR": ledger.ClassCARejected, "rejectedIdentifier": ledger.ClassCARejected, "unsupportedIdentifier": ledger.ClassCARejected,
	} {
		if class, advice := OrderClass(&acme.ProblemDetails{Type: URN + kind}); class != want || advice == "" {
			t.Errorf("%s: got class %s and advice %q, want %s", kind, class, advice, want)
		}
	}
}

// TestCompound checks that a compound problem gets the class that all its subproblems
// share.
func TestCompound(t *testing.T) {
	for want, kinds := range map[ledger.Class][]string{
		ledger.ClassCAA: {"caa", "caa"}, ledger.ClassCAUnavailable: {"serverInternal"}, ledger.ClassValidation: {"caa", "dns"},
	} {
		p := &acme.ProblemDetails{Type: URN + "compound", Detail: "see below", HTTPStatus: 403}
		for _, kind := range kinds {
			p.SubProblems = append(p.SubProblems, acme.SubProblem{Type: URN + kind, Detail: "no"})
		}
		if class, _ := OrderClass(p); class != want {
			t.Errorf("%v: got class %s, want %s", kinds, class, want)
		}
	}
	if class, _ := AnswerClass(&acme.ProblemDetails{Type: URN + "compound", HTTPStatus: 403}, ""); class != ledger.ClassCARejected {
		t.Errorf("without subproblems: got class %s", class)
	}
}

func TestWords(t *testing.T) {
	got := Words(&acme.ProblemDetails{
		Type: URN + "malformed", Detail: "two names are bad", HTTPStatus: 400,
		SubProblems: []acme.SubProblem{{Type: URN + "rejectedIdentifier", Detail: "on a list", Identifier: acme.Identifier{Type: "dns", Value: "x.example.com"}}},
	})
	want := "400 urn:ietf:params:acme:error:malformed: two names are bad [x.example.com: urn:ietf:params:acme:error:rejectedIdentifier: on a list]"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		value string
		want  time.Duration
		ok    bool
	}{
		"seconds":         {"30", 30 * time.Second, true},
		"none":            {"", 0, false},
		"zero":            {"0", 0, true},
		"negative":        {"-5", 0, false},
		"RFC 9110 date":   {"Mon, 23 Nov 2026 12:01:00 GMT", time.Minute, true},
		"RFC 850 date":    {"Monday, 23-Nov-26 12:01:00 GMT", time.Minute, true},
		"date gone by":    {"Mon, 23 Nov 2026 11:00:00 GMT", 0, true},
		"more than a age": {"99999999999999", RetryLimit, true},
		"nonsense":        {"soon", 0, false},
	}
	for name, test := range tests {
		if got, ok := RetryAfter(test.value, now); got != test.want || ok != test.ok {
			t.Errorf("%s: got %s, %v, want %s, %v", name, got, ok, test.want, test.ok)
		}
	}
}

func TestJoin(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	a := &Error{OfClass: ledger.ClassValidation, Doing: "validating a", Said: "no"}
	b := &Error{OfClass: ledger.ClassCAA, Doing: "validating b", Said: "no", Gone: true, Retry: at}
	if err := Join("x", []error{nil, nil}); err != nil {
		t.Errorf("nothing failed: got %v", err)
	}
	if err := Join("x", []error{nil, a}); err != error(a) {
		t.Errorf("one failed: got %v", err)
	}
	ended, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	cut := Interrupted(ended, "waiting")
	if err := Join("x", []error{cut, a, cut}); err != error(a) {
		t.Errorf("got %v, want the failure and not the interruptions", err)
	}
	if err := Join("x", []error{cut, nil, cut}); err != error(cut) {
		t.Errorf("got %v, want the interruption", err)
	}
	e := AsError("", Join("finishing", []error{a, nil, b}))
	if ledger.Class(e.Class()) != ledger.ClassValidation || !e.OrderGone() {
		t.Errorf("two failed: got class %s and order gone %v", e.Class(), e.OrderGone())
	}
	if !e.RetryAt().Equal(at) || !strings.Contains(e.Error(), "2 names failed: validating a: no | validating b: no") {
		t.Errorf("two failed: got %v, to be tried again at %s", e, e.RetryAt())
	}
	many, same := make([]error, 9), make([]error, 9)
	for i := range many {
		many[i], same[i] = &Error{OfClass: ledger.ClassValidation, Doing: "validating " + strconv.Itoa(i), Said: "no"}, a
	}
	if e := Join("finishing", many); !strings.HasSuffix(e.Error(), "validating 4: no | and 4 more") {
		t.Errorf("nine failed: got %v", e)
	}
	if e := Join("finishing", same); !strings.HasSuffix(e.Error(), "9 names failed: validating a: no") {
		t.Errorf("nine failed for one reason: got %v", e)
	}
}

func TestClip(t *testing.T) {
	if got := Clip("short"); got != "short" {
		t.Errorf("got %q", got)
	}
}
