// Package metrics tells Prometheus how things stand after the last pass, and counts what
// was done since certroll run started. docs/metrics.md lists the metrics.
//
// It owns names, labels and buckets. It never asks Vault, Git or a CA: it is handed what
// a pass saw.
package metrics
