// Package daemon is certroll run: it pulls and applies until it is stopped. Beside that
// it serves the status page, the metrics, the health checks and the webhooks.
//
// It owns the loop's settings and their reload on SIGHUP, the log of decisions, the file
// watch, and the HTTP server with its guard.
//
// It does not decide which revision is in force (configrepo does), nor what a pass does
// (reconcile does). Nothing that it serves contains a secret.
package daemon
