package decode

// settleHolds copies to each certificate its own holds and those of its defaults blocks,
// issuers and DNS accounts.
func (d *decoder) settleHolds() {
	if len(d.Holds) == 0 {
		return
	}
	for name, i := range d.spec.Issuers {
		i.Held = d.Holds["issuer."+name]
	}
	for name, a := range d.spec.DNS {
		a.Held = d.Holds["dns."+name]
	}
	for _, c := range d.spec.Certificates {
		subjects := []string{"certificate." + c.Name}
		for _, dir := range ancestors(c.File) {
			subjects = append(subjects, "defaults."+dir)
		}
		for _, name := range append([]string{c.Issuer}, c.Fallbacks...) {
			subjects = append(subjects, "issuer."+name)
		}
		for _, name := range c.DNS {
			subjects = append(subjects, "dns."+name)
		}
		for _, s := range subjects {
			c.Held = append(c.Held, d.Holds[s]...)
		}
	}
}
