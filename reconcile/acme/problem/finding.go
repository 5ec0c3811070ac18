package problem

// The severities of a finding.
const (
	SeverityError   = "error"   // a renewal will fail by it
	SeverityWarning = "warning" // a renewal may, or one of several ways to it is shut
	SeverityInfo    = "info"    // what could not be looked at, or is good to know
)

// Finding is one thing that an examination has found out about what renewals
// depend on.
type Finding struct {
	Level   string   // one of the Severity constants
	At      string   // see About
	Touches []string // see Names
	Why     *Error
}

// Error is what was looked at and what was found, in the other side's own
// words where it has some.
func (f *Finding) Error() string { return (&Error{Doing: f.Why.Doing, Said: f.Why.Said}).Error() }

// Advice is what a person should do; it may be empty.
func (f *Finding) Advice() string { return f.Why.Advice }

// Class is one of the Class constants.
func (f *Finding) Class() string { return f.Why.OfClass }

// Severity is one of the Severity constants.
func (f *Finding) Severity() string { return f.Level }

// About names what it was found at, without anything that changes from one
// examination to the next: of one class and with the same About it is the
// same problem.
func (f *Finding) About() string { return f.At }

// Names are the identifiers it touches, as the certificate has them; none
// where it touches all that were asked for.
func (f *Finding) Names() []string { return f.Touches }

// Account is the DNS account at fault, empty where none is.
func (f *Finding) Account() string { return f.Why.DNSAccount }

// Unwrap is the failure behind it.
func (f *Finding) Unwrap() error { return f.Why }

// Findings are those of one examination, each once, in the order found.
type Findings struct {
	list  []*Finding
	index map[string]*Finding
}

// Add adds a finding, or its names to the one that is the same.
func (f *Findings) Add(found ...*Finding) {
	for _, one := range found {
		key := one.Level + "\x00" + one.Why.OfClass + "\x00" + one.At
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

// Errors are the findings as errors.
func (f *Findings) Errors() []error {
	out := make([]error, len(f.list))
	for i, one := range f.list {
		out[i] = one
	}
	return out
}
