// Package notify sends messages to people and programs: to many services by URL, and as
// signed webhooks. Package outbox decides which messages are sent, when, and how often
// they are retried.
//
// # Decisions
//
//   - Webhooks follow the Standard Webhooks specification
//     (https://www.standardwebhooks.com). Receivers have libraries for it. It signs the id
//     and the time together with the body, which prevents replays, and the id is the same
//     in each try, so that a receiver can detect duplicates.
//   - Services are shoutrrr's, in a child process of the same binary, as with DNS
//     providers. The library takes no context, half of its services have no time limit,
//     and it logs to the standard library's global logger. A child can be killed, and its
//     output is discarded.
//   - A service's URL is a secret as a whole. The child receives it on standard input. The
//     parent removes each part of it from a service's errors, and cuts links to the host.
package notify
