// Package planfile stores a plan in a file, between certroll plan --out and certroll
// apply FILE.
//
// It owns the format and its checks. It does not trust a file: the file only selects
// actions from a fresh plan. A file contains no secrets.
package planfile
