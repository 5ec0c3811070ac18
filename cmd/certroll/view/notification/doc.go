// Package notification owns the words of a notification: its subject, its text for
// people, and its body as a webhook carries it.
//
// It never decides who is notified of what, and never sends anything.
package notification
