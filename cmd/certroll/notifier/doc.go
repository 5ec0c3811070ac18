// Package notifier connects the notify blocks of certroll.hcl to the reconciler's notices:
// how a message is composed, sent, counted and logged.
//
// It owns the ways to a destination and reads their secrets for each message. Which
// notices there are, and what was delivered, it leaves to reconcile.
package notifier
