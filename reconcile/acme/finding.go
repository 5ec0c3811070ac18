package acme

// The severities of a finding.
const (
	SeverityError   = "error"   // a renewal will fail by it
	SeverityWarning = "warning" // a renewal may, or one of several ways to it is shut
	SeverityInfo    = "info"    // what could not be looked at, or is good to know
)

// Finding is one thing that an examination has found out about what renewals
// depend on.
type Finding struct {
	severity string
	about    string
	names    []string
	why      *Error
}

// Error is what was looked at and what was found, in the other side's own
// words where it has some.
func (f *Finding) Error() string { return (&Error{doing: f.why.doing, said: f.why.said}).Error() }

// Advice is what a person should do; it may be empty.
func (f *Finding) Advice() string { return f.why.advice }

// Class is one of the Class constants.
func (f *Finding) Class() string { return f.why.class }

// Severity is one of the Severity constants.
func (f *Finding) Severity() string { return f.severity }

// About names what it was found at, without anything that changes from one
// examination to the next: of one class and with the same About it is the
// same problem.
func (f *Finding) About() string { return f.about }

// Names are the identifiers it touches, as the certificate has them; none
// where it touches all that were asked for.
func (f *Finding) Names() []string { return f.names }

// Account is the DNS account at fault, empty where none is.
func (f *Finding) Account() string { return f.why.account }

// Unwrap is the failure behind it.
func (f *Finding) Unwrap() error { return f.why }

// findings are those of one examination, each once, in the order found.
type findings struct {
	list  []*Finding
	index map[string]*Finding
}

// add adds a finding, or its names to the one that is the same.
func (f *findings) add(found ...*Finding) {
	for _, one := range found {
		key := one.severity + "\x00" + one.why.class + "\x00" + one.about
		if same := f.index[key]; same != nil {
			same.names = append(same.names, one.names...)
			continue
		}
		if f.index == nil {
			f.index = map[string]*Finding{}
		}
		f.index[key] = one
		f.list = append(f.list, one)
	}
}

func (f *findings) errors() []error {
	out := make([]error, len(f.list))
	for i, one := range f.list {
		out[i] = one
	}
	return out
}
