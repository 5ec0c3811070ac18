package problem

import "certroll/reconcile/ledger"

// Finding is one result of an examination of the conditions for renewals.
type Finding struct {
	Level   ledger.Severity
	At      string   // see About
	Touches []string // see Names
	Why     *Error
}

// Error returns the object of the check and its result, in the other side's words if
// there are any.
func (f *Finding) Error() string { return (&Error{Doing: f.Why.Doing, Said: f.Why.Said}).Error() }

// Advice returns the next step for a person; may be empty.
func (f *Finding) Advice() string { return f.Why.Advice }

// Class returns the class of the failure.
func (f *Finding) Class() string { return string(f.Why.OfClass) }

// Severity returns how serious the finding is.
func (f *Finding) Severity() string { return string(f.Level) }

// About names the object of the finding, without anything that changes between
// examinations: two findings of the same class and the same About are the same problem.
func (f *Finding) About() string { return f.At }

// Names returns the affected identifiers, as the certificate spells them; empty if all
// examined names are affected.
func (f *Finding) Names() []string { return f.Touches }

// Account returns the DNS account at fault; empty if none is.
func (f *Finding) Account() string { return f.Why.DNSAccount }

// Unwrap returns the underlying *Error.
func (f *Finding) Unwrap() error { return f.Why }

// Findings collects the findings of one examination, without duplicates, in the order
// found.
type Findings struct {
	list  []*Finding
	index map[string]*Finding
}

// Add adds findings. If the same finding is present, Add only adds the names to it.
func (f *Findings) Add(found ...*Finding) {
	for _, one := range found {
		key := string(one.Level) + "\x00" + string(one.Why.OfClass) + "\x00" + one.At
		if same := f.index[key]; same != nil {
			same.Touches = append(same.Touches, one.Touches...)
			continue
		}
		if f.index == nil {
			f.index = map[string]*Finding{}
		}
		f.index[key] = one
		f.list = append(f.list, one)
	}
}

// Errors returns the findings as errors.
func (f *Findings) Errors() []error {
	out := make([]error, len(f.list))
	for i, one := range f.list {
		out[i] = one
	}
	return out
}
