// Package eval evaluates HCL expressions within bounds, and has the functions that they
// can call.
//
// Files come from pull requests. A Budget is the number of steps that one revision may
// cost, and a Meter takes the steps of each operator and each call before it is made
// (meter.go, costs.go); values that grow too large end the evaluation (guard.go). The
// number of steps follows from the sizes of values alone, so that every machine accepts
// and rejects the same revisions.
//
// The package reads no file and no environment, and knows no block and no setting.
package eval
