package vault

import (
	"context"
	"net/http"
	"time"
)

// mostPaths bounds the paths of one request.
const mostPaths = 500

// Capabilities returns what the token may do at paths of Vault's API, by path: "create",
// "read", "update", "delete", "list", "root" or "deny". Vault evaluates its policies for
// that; no request to the paths themselves is made.
//
// https://developer.hashicorp.com/vault/api-docs/system/capabilities-self
func (c *Client) Capabilities(ctx context.Context, paths []string) (map[string][]string, error) {
	const at, doing = "sys/capabilities-self", "asking what the token may do"
	all := make(map[string][]string, len(paths))
	for len(paths) > 0 {
		some := paths[:min(len(paths), mostPaths)]
		paths = paths[len(some):]
		secret, err := c.api.Logical().WriteWithContext(ctx, at, map[string]any{"paths": some})
		if err != nil {
			return nil, c.explain(err, doing, at, "update")
		}
		if secret == nil {
			continue
		}
		for _, path := range some {
			list, _ := secret.Data[path].([]any)
			// For a single path the answer may have the list under "capabilities" only.
			if len(some) == 1 && list == nil {
				list, _ = secret.Data["capabilities"].([]any)
			}
			for _, one := range list {
				if name, ok := one.(string); ok {
					all[path] = append(all[path], name)
				}
			}
		}
	}
	return all, nil
}

// Date returns the time by Vault's clock, in whole seconds; zero if the answer has no
// Date.
func (c *Client) Date(ctx context.Context, mount string) (time.Time, error) {
	at := "sys/internal/ui/mounts/" + mount
	resp, err := c.api.Logical().ReadRawWithContext(ctx, at)
	if resp != nil {
		defer func() { _ = resp.Body.Close() }()
	}
	if err != nil {
		return time.Time{}, c.explain(err, "asking Vault for the time", at, "read")
	}
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return time.Time{}, nil
	}
	return date, nil
}
