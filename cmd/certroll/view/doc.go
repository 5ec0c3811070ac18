// Package view renders what certroll has to say: each thing as one versioned
// value, and from that for people, as JSON, or for an editor.
//
// It prints; it decides nothing, reads nothing and knows no clock but the one
// it is handed.
package view
