// Package notify sends messages to people and programs: to many services by
// their URL, and as signed webhooks. It decides nothing: what is told, when, and
// how often it is tried is package reconcile's.
//
// # Decisions
//
//   - Webhooks follow the Standard Webhooks specification
//     (https://www.standardwebhooks.com): receivers have libraries for it, it
//     signs the id and the time with the body, which ends replays, and the id is
//     the same at each try, so that a receiver can tell what came twice.
//   - Services are shoutrrr's, in a child process of the same binary, as DNS
//     providers are: the library takes no context, half of its services have no
//     time limit of their own, and it logs by the standard library's global
//     logger. A child can be ended, and what it prints goes nowhere.
//   - A service's URL is a secret as a whole. It comes to the child by its
//     standard input, and in what a service says each part of it is struck out,
//     and each link shortened to its host.
package notify
