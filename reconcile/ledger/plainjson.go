package ledger

import (
	"bytes"
	"encoding/json"

	"certroll/spec/text"
)

// PlainJSON encodes what people read and search in Git: "Ann <ann@example.com>"
// as it is, where json.Marshal writes \u003c for the sake of HTML. What would act
// on the terminal of whoever reads it there is escaped. There is no newline at the
// end.
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
