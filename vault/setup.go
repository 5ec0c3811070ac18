package vault

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/api"
)

// Setup describes what certroll needs in Vault: a KV v2 mount, a policy, and an AppRole
// role with the policy.
type Setup struct {
	Mount              string // path of KV v2
	PolicyName, Policy string // rules of the policy, in HCL
	AuthMount, Role    string // path of the auth method AppRole, and the role's name
	TokenTTL           string // such as "1h"
}

// SetUp is one object that Setup describes.
type SetUp struct {
	What string // such as "policy certroll-apply"
	Made bool   // created now; false: it existed and is unchanged
	// Differs reports that the existing object is not as Setup describes it.
	Differs bool
}

// SetUp creates the missing objects and changes no existing one. It checks everything
// before it creates anything. The token needs an operator's rights: read on sys/mounts
// and sys/auth, and update on each created object.
//
// https://developer.hashicorp.com/vault/api-docs/auth/approle
func (c *Client) SetUp(ctx context.Context, s Setup) (roleID string, done []SetUp, err error) {
	todo, err := c.missing(ctx, s)
	if err != nil {
		return "", nil, err
	}
	for _, step := range todo {
		if step.make != nil {
			if err := step.make(); err != nil {
				return "", done, c.explain(err, "making "+step.What, step.path, "update")
			}
			step.Made = true
		}
		done = append(done, step.SetUp)
	}
	roleID, err = c.roleID(ctx, s)
	return roleID, done, err
}

// setupStep is one object with the function that creates it; make is nil if the object
// exists.
type setupStep struct {
	SetUp
	path string
	make func() error
}

// missing checks which objects exist.
func (c *Client) missing(ctx context.Context, s Setup) ([]setupStep, error) {
	var todo []setupStep
	for _, look := range []func(context.Context, Setup) (setupStep, error){c.lookMount, c.lookPolicy, c.lookAuth, c.lookRole} {
		step, err := look(ctx, s)
		if err != nil {
			return nil, err
		}
		todo = append(todo, step)
	}
	return todo, nil
}

// lookMount checks the KV v2 mount.
func (c *Client) lookMount(ctx context.Context, s Setup) (setupStep, error) {
	step := setupStep{SetUp: SetUp{What: "KV v2 at " + s.Mount + "/"}, path: "sys/mounts/" + s.Mount}
	mounts, err := c.api.Sys().ListMountsWithContext(ctx)
	if err != nil {
		return step, c.explain(err, "looking for the mount "+s.Mount+"/", "sys/mounts", "read")
	}
	switch m := mounts[s.Mount+"/"]; {
	case m == nil:
		step.make = func() error {
			return c.api.Sys().MountWithContext(ctx, s.Mount, &api.MountInput{Type: "kv", Options: map[string]string{"version": "2"}})
		}
	case m.Type != "kv" || m.Options["version"] != "2":
		return step, &Error{doing: "looking at the mount " + s.Mount + "/", said: "it is " + m.Type + ", and not KV version 2",
			advice: "name another mount, or make it version 2 (vault kv enable-versioning " + s.Mount + "/)"}
	}
	return step, nil
}

// lookPolicy checks the policy.
func (c *Client) lookPolicy(ctx context.Context, s Setup) (setupStep, error) {
	step := setupStep{SetUp: SetUp{What: "policy " + s.PolicyName}, path: "sys/policies/acl/" + s.PolicyName}
	rules, err := c.api.Sys().GetPolicyWithContext(ctx, s.PolicyName)
	switch {
	case err != nil:
		return step, c.explain(err, "looking for the policy "+s.PolicyName, step.path, "read")
	case rules == "":
		step.make = func() error { return c.api.Sys().PutPolicyWithContext(ctx, s.PolicyName, s.Policy) }
	default:
		step.Differs = strings.TrimSpace(rules) != strings.TrimSpace(s.Policy)
	}
	return step, nil
}

// lookAuth checks the auth method.
func (c *Client) lookAuth(ctx context.Context, s Setup) (setupStep, error) {
	step := setupStep{SetUp: SetUp{What: "AppRole at auth/" + s.AuthMount + "/"}, path: "sys/auth/" + s.AuthMount}
	methods, err := c.api.Sys().ListAuthWithContext(ctx)
	if err != nil {
		return step, c.explain(err, "looking for the auth method "+s.AuthMount+"/", "sys/auth", "read")
	}
	switch m := methods[s.AuthMount+"/"]; {
	case m == nil:
		step.make = func() error {
			return c.api.Sys().EnableAuthWithOptionsWithContext(ctx, s.AuthMount, &api.EnableAuthOptions{Type: "approle"})
		}
	case m.Type != "approle":
		return step, &Error{doing: "looking at auth/" + s.AuthMount + "/", said: "it is " + m.Type + ", and not AppRole", advice: "name another one with --vault-auth-mount"}
	}
	return step, nil
}

// lookRole checks the role.
func (c *Client) lookRole(ctx context.Context, s Setup) (setupStep, error) {
	at := s.rolePath()
	step := setupStep{SetUp: SetUp{What: "role " + at}, path: at}
	role, err := c.api.Logical().ReadWithContext(ctx, at)
	switch status := statusOf(err); {
	case err == nil && role != nil:
		policies, _ := role.Data["token_policies"].([]any)
		step.Differs = len(policies) != 1 || policies[0] != s.PolicyName
	case err == nil, status == http.StatusNotFound: // or no such auth method yet
		step.make = func() error {
			_, err := c.api.Logical().WriteWithContext(ctx, at, map[string]any{"token_policies": s.PolicyName, "token_ttl": s.TokenTTL})
			return err
		}
	default:
		return step, c.explain(err, "looking for the role "+at, at, "read")
	}
	return step, nil
}

func (s Setup) rolePath() string { return "auth/" + s.AuthMount + "/role/" + s.Role }

// roleID reads the role's ID, which is no secret.
func (c *Client) roleID(ctx context.Context, s Setup) (string, error) {
	at := s.rolePath() + "/role-id"
	secret, err := c.api.Logical().ReadWithContext(ctx, at)
	if err != nil {
		return "", c.explain(err, "reading the role's id", at, "read")
	}
	if secret != nil {
		if id, ok := secret.Data["role_id"].(string); ok && id != "" {
			return id, nil
		}
	}
	return "", &Error{doing: "reading " + at, said: "Vault answered without a role_id", advice: "read it with: vault read -field=role_id " + at}
}

// NewSecretID creates a secret ID for the role. The result is a secret.
func (c *Client) NewSecretID(ctx context.Context, s Setup) (string, error) {
	at := s.rolePath() + "/secret-id"
	secret, err := c.api.Logical().WriteWithContext(ctx, at, nil)
	if err != nil {
		return "", c.explain(err, "making a secret id", at, "update")
	}
	if secret != nil {
		if id, ok := secret.Data["secret_id"].(string); ok && id != "" {
			return id, nil
		}
	}
	return "", &Error{doing: "making a secret id at " + at, said: "Vault answered without one", advice: fmt.Sprintf("make it with: vault write -f -field=secret_id %s", at)}
}
