// Package notifier connects certroll.hcl's notify blocks to package outbox: it composes,
// sends, counts and logs messages.
//
// It owns the transports to the destinations, and reads their secrets for each message.
// Package outbox decides which notices exist, and records the deliveries.
package notifier
