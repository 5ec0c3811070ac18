package notify

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"sync"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
)

// ServeChild is the child's side: it sends one message and says how that went.
func ServeChild(in io.Reader, out io.Writer) error {
	log.SetOutput(io.Discard) // a service may say there what nobody is to see
	var r childRequest
	if err := json.NewDecoder(in).Decode(&r); err != nil {
		return fmt.Errorf("reading the message: %w", err)
	}
	a := childAnswer{Errors: make([]string, len(r.URLs))}
	var all sync.WaitGroup
	for i, raw := range r.URLs {
		all.Go(func() {
			if err := sendTo(raw, r.Subject, r.Text); err != nil {
				a.Errors[i] = err.Error()
			}
		})
	}
	all.Wait()
	if err := json.NewEncoder(out).Encode(a); err != nil {
		return fmt.Errorf("saying how it went: %w", err)
	}
	return nil
}

// sendTo sends by one URL. Not every service has a title, and some refuse
// settings that they do not know.
func sendTo(raw, subject, text string) error {
	service, err := (&router.ServiceRouter{}).Locate(raw)
	if err != nil {
		return err
	}
	params := types.Params{}
	params.SetTitle(subject)
	return service.Send(text, &params)
}
