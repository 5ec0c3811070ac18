package daemon

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"testing"
)

// buffer collects the log.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *buffer) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *buffer) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// jsonLine is one line of the log in JSON.
type jsonLine map[string]any

func (l jsonLine) text(key string) string {
	s, _ := l[key].(string)
	return s
}

// linesOf parses a log of JSON objects, one per line.
func linesOf(t *testing.T, log string) []jsonLine {
	t.Helper()
	var lines []jsonLine
	for text := range strings.Lines(log) {
		var l jsonLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("this line of the log is no JSON: %v\n%s", err, text)
		}
		lines = append(lines, l)
	}
	return lines
}
