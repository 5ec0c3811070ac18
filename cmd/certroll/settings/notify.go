package settings

import (
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"certroll/reconcile/outbox"
	"certroll/spec/bounded"
)

// Notify is a notify block of certroll.hcl: a destination and its kinds of notices. The
// URL of a service is a secret, so the block only names its place.
type Notify struct {
	Name          string            `hcl:"name,label"`
	ServiceEnv    string            `hcl:"service_env,optional"`
	ServiceFile   string            `hcl:"service_file,optional"`
	Webhook       string            `hcl:"webhook,optional"`
	SecretEnv     string            `hcl:"secret_env,optional"`
	SecretFile    string            `hcl:"secret_file,optional"`
	On            []string          `hcl:"on,optional"` // nil: outbox.UsualNotices
	Labels        map[string]string `hcl:"labels,optional"`
	Range         hcl.Range         `hcl:",def_range"`
	OnRange       hcl.Range         `hcl:"on,attr_range"`
	WebhookRange  hcl.Range         `hcl:"webhook,attr_range"`
	NameLabelSeen hcl.Range         `hcl:"name,label_range"`
}

// destinationName matches the names that may be part of a path in Vault.
var destinationName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// checkNotify checks the notify blocks.
func checkNotify(blocks []*Notify) hcl.Diagnostics {
	var diags hcl.Diagnostics
	seen := map[string]bool{}
	for _, n := range blocks {
		if seen[n.Name] {
			diags = append(diags, n.mistake(n.NameLabelSeen, "Name used twice", "Another notify block is called %q: what was sent is kept by the name, so give each its own.", n.Name))
		}
		seen[n.Name] = true
		diags = append(diags, n.check()...)
	}
	return diags
}

func (n *Notify) mistake(at hcl.Range, summary, detail string, args ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(detail, args...), Subject: &at, Context: &n.Range}
}

func (n *Notify) check() hcl.Diagnostics {
	var diags hcl.Diagnostics
	if !destinationName.MatchString(n.Name) {
		diags = append(diags, n.mistake(n.NameLabelSeen, "Invalid name", "%q is no name of a destination: use letters, digits, and \"_\", \".\" or \"-\" after the first, 64 at most.", n.Name))
	}
	service, hook := set(n.ServiceEnv, n.ServiceFile), set(n.SecretEnv, n.SecretFile)
	switch {
	case service == 2 || hook == 2:
		diags = append(diags, n.mistake(n.Range, "Two places of one secret", "It stands in the environment or in a file: set one of service_env and service_file, or one of secret_env and secret_file."))
	case n.Webhook == "" && hook > 0:
		diags = append(diags, n.mistake(n.Range, "Missing webhook", "The block says where the secret of a webhook is, and not where it goes: set webhook to its URL."))
	case n.Webhook != "" && service > 0:
		diags = append(diags, n.mistake(n.WebhookRange, "Two destinations in one block", "A block is a webhook or a service: what was sent is kept by its name. Make it two blocks."))
	case n.Webhook == "" && service == 0:
		diags = append(diags, n.mistake(n.Range, "Missing destination", "Set service_env or service_file to where the URL of a service is, or webhook to a URL with secret_env or secret_file."))
	case n.Webhook != "" && hook == 0:
		diags = append(diags, n.mistake(n.WebhookRange, "Missing secret", "A webhook is signed: set secret_env or secret_file to where a secret is that the receiver knows too."))
	}
	if n.Webhook != "" && !isWebURL(n.Webhook) {
		diags = append(diags, n.mistake(n.WebhookRange, "Invalid URL", "webhook is the URL that messages are posted to, as in \"https://hooks.example.com/certroll\", without a user or a password."))
	}
	return append(diags, n.checkKinds()...)
}

func (n *Notify) checkKinds() hcl.Diagnostics {
	if n.On == nil {
		return nil
	}
	if len(n.On) == 0 {
		return hcl.Diagnostics{n.mistake(n.OnRange, "Nothing to tell", "on is empty: name kinds, or leave it out for all that a person should act on.")}
	}
	var diags hcl.Diagnostics
	for _, kind := range n.On {
		if !slices.Contains(outbox.NoticeKinds, outbox.NoticeKind(kind)) {
			diags = append(diags, n.mistake(n.OnRange, "Unknown kind", "%q is no kind of notice. There are: %s.", kind, kindList()))
		}
	}
	return diags
}

func kindList() string {
	var names []string
	for _, k := range outbox.NoticeKinds {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// set counts the non-empty texts.
func set(texts ...string) int {
	n := 0
	for _, t := range texts {
		if t != "" {
			n++
		}
	}
	return n
}

func isWebURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
}

// Interest returns the kinds of notices and the labels that the destination wants.
func (n *Notify) Interest() outbox.Interest {
	i := outbox.Interest{On: outbox.UsualNotices(), Labels: n.Labels}
	if n.On != nil {
		i.On = nil
		for _, kind := range n.On {
			i.On = append(i.On, outbox.NoticeKind(kind))
		}
	}
	return i
}

// SecretLines reads the lines of a secret from a variable or a file. Callers read it for
// each message, so that it can be rotated.
func SecretLines(what, env, file string) ([]string, error) {
	text, where := os.Getenv(env), "the environment variable "+env
	if file != "" {
		b, err := bounded.File(file, bounded.Secret)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", what, err)
		}
		text, where = string(b), "the file "+file
	}
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("reading %s: %s is empty", what, where)
	}
	return lines, nil
}
