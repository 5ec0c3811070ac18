package console

import (
	"os"
	"os/user"
	"strings"
)

// Person names the user who runs the command, for the audit log.
func (c *Console) Person() string {
	if p := strings.TrimSpace(c.Getenv("CERTROLL_ACTOR")); p != "" {
		return p
	}
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}
