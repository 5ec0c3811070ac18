package notify

// Message is one message to send.
type Message struct {
	ID      string // the same in every try
	Subject string // one line
	Text    string // several lines
	Body    []byte // of a webhook: JSON
}
