package lab

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Add adds records in zone file syntax.
func (d *DNS) Add(records ...string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil || rr == nil {
			return fmt.Errorf("adding the DNS record %q: %w", text, err)
		}
		if _, ok := d.data.zone(rr.Header().Name); !ok {
			return fmt.Errorf("adding the DNS record %q: no zone of this server holds it", text)
		}
		d.data.insert(rr, time.Time{})
	}
	return nil
}

// Remove removes a name's records of one type ("CAA"), or all with "ANY".
func (d *DNS) Remove(name, rrtype string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.data.removeSet(canonical(name), dns.StringToType[rrtype])
}

// TXT returns the texts of the TXT records at a name, sorted, including records that a
// lag still hides from queries.
func (d *DNS) TXT(name string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	texts := []string{}
	for _, e := range d.data.sets[question{canonical(name), dns.TypeTXT}] {
		if txt, ok := e.rr.(*dns.TXT); ok {
			texts = append(texts, strings.Join(txt.Txt, ""))
		}
	}
	slices.Sort(texts)
	return texts
}

// Challenges returns the names that have TXT records now, sorted. After a clean run there
// are none.
func (d *DNS) Challenges() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := []string{}
	for q, set := range d.data.sets {
		if q.rrtype == dns.TypeTXT && len(set) > 0 {
			names = append(names, q.name)
		}
	}
	slices.Sort(names)
	return names
}

// Queries returns the number of queries so far, including faulty ones.
func (d *DNS) Queries() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.queries
}

// Updates returns the number of dynamic updates so far, including refused ones.
func (d *DNS) Updates() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.updates
}

// Asked returns the number of queries so far for a name and type.
func (d *DNS) Asked(name, rrtype string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[question{canonical(name), dns.StringToType[rrtype]}]
}

func canonical(name string) string { return dns.CanonicalName(name) }
