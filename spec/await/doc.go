// Package await has the waits that end with their context: for a time, and for a turn.
//
// The package stands below everything and imports none of ours. It decides no time: each
// caller bounds its own waits.
package await
