// Package daemon is certroll run: it pulls and applies until it is stopped, and serves the
// status page, the metrics, the health checks and the webhooks beside that.
//
// It owns the loop's view of the settings and their reload at SIGHUP, the log of what is
// decided, the watch of files, and the HTTP server with its guard.
//
// It decides neither which revision is in force, which is configrepo's, nor what a pass
// does, which is reconcile's. Nothing that it serves shows a secret.
package daemon
