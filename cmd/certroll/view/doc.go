// Package view renders certroll's output: each result is one versioned value, printed as
// text, JSON, Markdown or annotations.
//
// It decides nothing, reads nothing, and has no clock except the times that it receives.
package view
