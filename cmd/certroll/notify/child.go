package notify

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"slices"
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

// untitled are the services that know no title and refuse to be given one.
var untitled = []string{"pagerduty", "signal", "wecom"}

// sendTo sends by one URL. Not every service shows a title, so that the text
// begins with it.
func sendTo(raw, subject, text string) error {
	service, err := (&router.ServiceRouter{}).Locate(raw)
	if err != nil {
		return err
	}
	params := types.Params{}
	if !slices.Contains(untitled, service.GetID()) {
		params.SetTitle(subject)
	}
	return service.Send(subject+"\n\n"+text, &params)
}
