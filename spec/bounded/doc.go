// Package bounded reads what comes from outside of the process without needing
// more memory than was allowed beforehand, and without a wait that only the
// other side can end. Product code reads whole files and bodies through it alone.
package bounded
