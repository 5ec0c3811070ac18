// Package notification owns the texts of notifications: the subject, the text for
// people, and the body of a webhook.
//
// It neither selects the recipients nor sends anything.
package notification
