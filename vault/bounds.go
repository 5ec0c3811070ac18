package vault

import (
	"io"
	"net/http"

	"certroll/spec/bounded"
)

// maxAnswer bounds what Vault may answer. The longest answer is a list: of 200,000
// secrets in one directory it has about 30 MB.
const maxAnswer = 64 << 20

// shortAnswers ends each answer after maxAnswer bytes: the api reads them whole.
type shortAnswers struct{ next http.RoundTripper }

// RoundTrip is http.RoundTripper's.
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

// CloseIdleConnections lets http.Client do so.
func (s shortAnswers) CloseIdleConnections() {
	if c, ok := s.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// maxRead bounds what is read of one secret or its metadata. Vault takes a
// megabyte of a secret, and the metadata of a version has 150 bytes.
const maxRead = 16 << 20
