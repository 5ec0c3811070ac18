// Package metrics exports the state after the last pass to Prometheus, and counts of
// operations since certroll run started. docs/metrics.md lists the metrics.
//
// It owns names, labels and buckets. It never contacts Vault, Git or a CA: the daemon
// passes in the result of each pass.
package metrics
