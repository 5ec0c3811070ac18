// Package eval evaluates HCL expressions within bounds, and defines the functions that
// expressions can call.
//
// The files come from pull requests. A Budget is the number of steps that one revision
// may cost, and a Meter charges each operator and call before it runs (meter.go,
// costs.go). A value that grows too large ends the evaluation (guard.go). The number of
// steps depends only on the sizes of values, so every machine accepts and rejects the
// same revisions.
//
// The package reads no file and no environment, and knows no block and no setting.
package eval
