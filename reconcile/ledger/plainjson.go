package ledger

import (
	"bytes"
	"encoding/json"

	"certroll/spec/text"
)

// PlainJSON encodes text that people read and search in Git: it keeps "Ann
// <ann@example.com>", of which json.Marshal makes \u003c for the sake of HTML. It escapes
// characters that act on a terminal. The result has no newline at the end.
func PlainJSON(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return text.JSON(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}
