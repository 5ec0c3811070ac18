// Package await has the wait for a time that ends with its context.
//
// The package stands below everything and imports none of ours. It decides no time: each
// caller bounds its own waits. A turn that ends with its caller is a semaphore.Weighted of
// golang.org/x/sync.
package await
