package notify

// Message is what is sent.
type Message struct {
	ID      string // the same whenever it is sent again
	Subject string // one line
	Text    string // of several lines
	Body    []byte // of a webhook: JSON
}
