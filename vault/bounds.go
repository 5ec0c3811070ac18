package vault

import (
	"io"
	"net/http"

	"certroll/spec/bounded"
)

// maxAnswer bounds an answer of Vault, in bytes. The longest answer is a list: 200,000
// secrets in one directory take about 30 MB.
const maxAnswer = 64 << 20

// shortAnswers ends each answer after maxAnswer bytes, because the api package reads
// whole bodies.
type shortAnswers struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (s shortAnswers) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := s.next.RoundTrip(req)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{bounded.Reader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

// CloseIdleConnections forwards to the wrapped transport.
func (s shortAnswers) CloseIdleConnections() {
	if c, ok := s.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// maxRead bounds the answer for one secret or its metadata, in bytes. Vault accepts a
// megabyte per secret, and the metadata takes 150 bytes per version.
const maxRead = 16 << 20
