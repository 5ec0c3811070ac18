// Package planfile keeps a plan in a file between certroll plan --out and certroll apply
// FILE.
//
// It owns the format and its checks. A file is believed in nothing: it only picks actions
// from a plan that was made afresh, and holds no secret.
package planfile
