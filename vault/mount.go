package vault

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"regexp"
	"strings"
	"sync"
	"time"
)

// mount is the path and type of a secrets engine.
type mount struct {
	path string // without slashes at either end
	kv   int    // version of KV; 0: another engine
}

// mountCache remembers mounts by their path; mounts do not move.
type mountCache struct {
	mu    sync.Mutex
	known []mount
}

// Check returns an error unless KV version 2 is mounted at a path. It asks Vault once per
// mount.
func (kv *KV) Check(ctx context.Context, at string) error {
	doing := "looking at the mount " + at + "/"
	m, err := kv.mountOf(ctx, at, doing)
	switch {
	case err != nil:
		return err
	case m.path != strings.Trim(at, "/"):
		// Below a mount, paths are the engine's own: secret/data/x is no mount, and a
		// write "there" would reach another secret of secret/.
		return &Error{doing: doing, said: "it is no mount, and lies in the mount " + m.path + "/",
			advice: "write mount = \"" + m.path + "\", and what follows it into the path"}
	case m.kv == 2:
		return nil
	case m.kv == 1:
		return &Error{doing: doing, place: true, said: "it is KV version 1, which keeps no versions and has no check-and-set",
			advice: "make it version 2 (vault kv enable-versioning " + at + "/), or set vault.mount in certroll.hcl to a mount that is"}
	}
	return &Error{doing: doing, place: true, said: "it is no KV secrets engine",
		advice: "enable one (vault secrets enable -path=" + at + " -version=2 kv), or set vault.mount in certroll.hcl to a mount that is"}
}

// Reach asks Vault about a mount without the cache. It returns an error if Vault is
// unreachable or sealed, or if the token is not valid for anything there.
func (kv *KV) Reach(ctx context.Context, at string) error {
	path := "sys/internal/ui/mounts/" + at
	_, err := kv.c.api.Logical().ReadWithContext(ctx, path)
	if err == nil {
		return nil
	}
	return kv.c.explain(err, "looking at the mount "+at+"/", path, "read")
}

// mountOf finds the mount of a path. Every token with a capability below a mount may make
// this request, as Vault's own CLI does before `vault kv`:
func (kv *KV) mountOf(ctx context.Context, path, doing string) (mount, error) {
	if m, ok := kv.mounts.find(path); ok {
		return m, nil
	}
	at := "sys/internal/ui/mounts/" + path
	secret, err := kv.c.api.Logical().ReadWithContext(ctx, at)
	if forbidden(err) {
		return mount{}, kv.c.noMount(err, doing, path)
	}
	if err != nil {
		return mount{}, kv.c.explain(err, doing, at, "read")
	}
	var body struct {
		Path    string            `json:"path"`
		Type    string            `json:"type"`
		Options map[string]string `json:"options"`
	}
	if err := decode(secret, &body); err != nil {
		return mount{}, unreadable(doing, err)
	}
	if secret == nil || body.Path == "" { // 404: no mount, or no such namespace
		said := "there is nothing at " + path + "/"
		if ns := kv.c.api.Namespace(); ns != "" {
			said += " in the namespace " + ns + ", or there is no such namespace"
		}
		return mount{}, &Error{doing: doing, said: said, place: true,
			advice: "see mount and namespace in certroll.hcl, and what `vault secrets list` shows"}
	}
	m := mount{path: strings.Trim(body.Path, "/")}
	switch {
	case body.Type != "kv" && body.Type != "generic":
	case body.Options["version"] == "2":
		m.kv = 2
	default:
		m.kv = 1
	}
	kv.mounts.add(m)
	return m, nil
}

// noMount explains a mount that Vault does not show. Vault gives the same answer for a
// missing mount and for a token without any capability there.
func (c *Client) noMount(err error, doing, path string) error {
	e := c.explained(err, doing)
	if e.place = !e.dead; e.place {
		e.advice = "there is no such mount (vault secrets list), or the token's policies grant nothing below " + path + "/; see examples/vault-policies"
	}
	return e
}

// find returns the known mount that a path lies in.
func (c *mountCache) find(path string) (mount, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.known {
		if path == m.path || strings.HasPrefix(path, m.path+"/") {
			return m, true
		}
	}
	return mount{}, false
}

// add remembers a mount.
func (c *mountCache) add(m mount) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = append(c.known, m)
}

// Locate splits a path that begins with its mount into the mount, which must be KV
// version 2, and the rest.
func (kv *KV) Locate(ctx context.Context, path string) (at, rest string, err error) {
	m, err := kv.mountOf(ctx, path, "looking for the mount of "+path)
	if err != nil {
		return "", "", err
	}
	if err := kv.Check(ctx, m.path); err != nil {
		return "", "", err
	}
	return m.path, strings.TrimPrefix(strings.TrimPrefix(path, m.path), "/"), nil
}

// Field reads one field of the secret at a path that begins with its mount, like `vault
// kv get -field`. The mount may be KV version 1 or 2. refuse may reject the secret by its
// custom metadata; nil: no check.
func (kv *KV) Field(ctx context.Context, path, field string, refuse func(custom map[string]string) error) (string, error) {
	doing := "reading the field " + field + " of " + path
	m, err := kv.mountOf(ctx, path, doing)
	if err != nil {
		return "", err
	}
	below := strings.TrimPrefix(path, m.path+"/")
	var data map[string]string
	switch m.kv {
	case 2:
		var info versionInfo
		data, info, err = kv.readInfo(ctx, m.path, below, nil, doing)
		if err == nil && refuse != nil {
			err = refuse(info.Custom)
		}
	case 1:
		data, err = kv.readV1(ctx, m.path+"/"+below, doing)
	default:
		return "", &Error{doing: doing, said: m.path + "/ is no KV secrets engine", advice: "name a secret of KV"}
	}
	if err != nil {
		return "", adviseStoring(err, path, field)
	}
	value, ok := data[field]
	switch {
	case !ok:
		return "", &Error{doing: doing, said: "the secret has no such field that is a text", advice: adviseWriting("correct the reference, or add the field", "patch", path, field)}
	case value == "":
		return "", &Error{doing: doing, said: "the field is empty", advice: adviseWriting("write it", "patch", path, field)}
	}
	return value, nil
}

// plainWord matches a path or a field that a shell takes as it is.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./-]*$`)

// adviseStoring adds the command that stores a missing secret.
func adviseStoring(err error, path, field string) error {
	var missing *Error
	if !errors.As(err, &missing) || !errors.Is(missing.cause, fs.ErrNotExist) {
		return err
	}
	missing.advice = adviseWriting("correct the reference, or store the secret", "put", path, field)
	return missing
}

// adviseWriting returns advice with the command that writes a field. The command reads the
// value from its input and prints none, unlike vault kv get.
func adviseWriting(advice, verb, path, field string) string {
	if !plainWord.MatchString(path) || !plainWord.MatchString(field) {
		return advice
	}
	return advice + ": vault kv " + verb + " " + path + " " + field + "=-"
}

// Version returns the current version number of a secret whose path begins with its
// mount; 0 if there is none, or if the mount is KV version 1. It reads only metadata.
func (kv *KV) Version(ctx context.Context, path string) (int, error) {
	m, err := kv.mountOf(ctx, path, "looking for the version of "+path)
	if err != nil || m.kv != 2 {
		return 0, err
	}
	current, _, _, err := kv.ReadMetadata(ctx, m.path, strings.TrimPrefix(path, m.path+"/"))
	return current, err
}

// Keeping is how long a KV v2 mount keeps versions.
type Keeping struct {
	Versions    int           // per secret without a setting of its own; 0: Vault's default of 10
	DeleteAfter time.Duration // lifetime of every version, including the current one; 0: unlimited
}

// Keeping reads a mount's configuration. It needs the capability "read" on MOUNT/config:
// https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2#read-kv-engine-configuration
func (kv *KV) Keeping(ctx context.Context, at string) (Keeping, error) {
	var body struct {
		Versions    int    `json:"max_versions"`
		DeleteAfter string `json:"delete_version_after"`
	}
	doing := "reading the configuration of the mount " + at + "/"
	if _, err := kv.get(ctx, at+"/config", nil, &body, doing); err != nil {
		return Keeping{}, err
	}
	after, err := time.ParseDuration(cmp.Or(body.DeleteAfter, "0s"))
	if err != nil {
		return Keeping{}, unreadable(doing, err)
	}
	return Keeping{body.Versions, after}, nil
}

// readV1 reads a secret of KV version 1, which has no versions and no metadata.
func (kv *KV) readV1(ctx context.Context, at, doing string) (map[string]string, error) {
	secret, err := kv.c.api.Logical().ReadWithContext(ctx, at)
	if err != nil {
		return nil, kv.c.explain(err, doing, at, "read")
	}
	if secret == nil {
		return nil, notFound(doing)
	}
	data := map[string]string{}
	for field, value := range secret.Data {
		if text, ok := value.(string); ok {
			data[field] = text
		}
	}
	return data, nil
}
