package notify

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"slices"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"certroll/spec/bounded"
)

// maxRequest bounds the parent's request, in bytes: a message and its URLs.
const maxRequest = 16 << 20

// ServeChild is the child's side: it sends one message and reports the result.
func ServeChild(in io.Reader, out io.Writer) error {
	log.SetOutput(io.Discard) // services may log secrets
	var r childRequest
	if err := json.NewDecoder(bounded.Reader(in, maxRequest)).Decode(&r); err != nil {
		return fmt.Errorf("reading the message: %w", err)
	}
	w := &witness{}
	http.DefaultClient.Transport = w
	a := childAnswer{Errors: make([]string, len(r.URLs))}
	for i, raw := range r.URLs {
		w.failed = nil
		if err := cmp.Or(sendTo(raw, r.Subject, r.Text), w.failed); err != nil {
			a.Errors[i] = err.Error()
		}
	}
	if err := json.NewEncoder(out).Encode(a); err != nil {
		return fmt.Errorf("saying how it went: %w", err)
	}
	return nil
}

// witness records failed requests. The library's Telegram service returns no error for a
// failed one, and the message would be lost.
type witness struct{ failed error } // of the last request

// RoundTrip implements http.RoundTripper.
func (w *witness) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(req)
	if w.failed = err; err == nil && resp.StatusCode >= http.StatusBadRequest {
		w.failed = fmt.Errorf("%s answered with %s", req.URL.Hostname(), resp.Status)
	}
	return resp, err
}

// untitled are the services that reject a title.
var untitled = []string{"pagerduty", "signal", "wecom"}

// sendTo sends to one URL. Not every service shows a title, so the text begins with it.
func sendTo(raw, subject, text string) error {
	service, err := (&router.ServiceRouter{}).Locate(raw)
	if err != nil { // the library hides the cause
		return fmt.Errorf("%w; shoutrrr's documentation has the services, and how their URLs are written", err)
	}
	params := types.Params{}
	if !slices.Contains(untitled, service.GetID()) {
		params.SetTitle(subject)
	}
	return service.Send(subject+"\n\n"+text, &params)
}
