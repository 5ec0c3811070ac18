package lab

import "sync"

// maxLog is the number of bytes kept of one server's output. Some servers log a lot, and
// only the end explains a failure.
const maxLog = 256 << 10

// logs keeps the end of everything written to it.
type logs struct {
	mu   sync.Mutex
	tail []byte
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, p...)
	if over := len(l.tail) - maxLog; over > 0 {
		l.tail = append([]byte(nil), l.tail[over:]...)
	}
	return len(p), nil
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.tail)
}
