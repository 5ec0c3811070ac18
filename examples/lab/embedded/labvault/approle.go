package main

import (
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

// role is one AppRole.
type role struct {
	id       string
	secrets  map[string]bool
	policies []string
	ttl, max time.Duration
}

// roles is the auth method AppRole, at auth/approle after it is enabled.
type roles struct {
	tokens *tokens

	mu sync.Mutex
	by map[string]*role // nil means not enabled
}

func newRoles(t *tokens) *roles { return &roles{tokens: t} }

func (rs *roles) enable() (*logical.Response, error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.by != nil {
		return refuse(logical.ErrInvalidRequest, "path is already in use at approle/")
	}
	rs.by = map[string]*role{}
	return nil, nil
}

// serve answers auth/approle/role/.
func (rs *roles) serve(r *request) (*logical.Response, bool, error) {
	path, ok := strings.CutPrefix(r.path, "auth/approle/role/")
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if !ok || rs.by == nil {
		return nil, false, nil
	}
	name, what, _ := strings.Cut(path, "/")
	if what == "" {
		return nil, true, rs.write(name, r)
	}
	found := rs.by[name]
	switch {
	case found == nil:
		return nil, true, nil
	case what == "role-id" && r.op == logical.ReadOperation:
		return found.answer(map[string]any{"role_id": found.id}), true, nil
	case what == "secret-id" && r.op == logical.UpdateOperation:
		secret := newUUID()
		found.secrets[secret] = true
		data := map[string]any{"secret_id": secret, "secret_id_accessor": newUUID(), "secret_id_num_uses": 0, "secret_id_ttl": 0}
		return found.answer(data), true, nil
	}
	return nil, true, logical.ErrUnsupportedPath
}

func (*role) answer(data map[string]any) *logical.Response {
	return &logical.Response{Data: data, MountType: "approle"}
}

// write creates or changes a role. A changed role keeps its id and its secrets.
func (rs *roles) write(name string, r *request) (err error) {
	if r.op != logical.UpdateOperation {
		return logical.ErrUnsupportedOperation
	}
	changed := role{id: newUUID(), secrets: map[string]bool{}}
	if known := rs.by[name]; known != nil {
		changed = *known
	}
	if changed.policies, err = policiesOf(r.data["token_policies"]); err != nil {
		return err
	}
	if changed.ttl, err = seconds(r.data["token_ttl"]); err != nil {
		return err
	}
	if changed.max, err = seconds(r.data["token_max_ttl"]); err != nil {
		return err
	}
	rs.by[name] = &changed
	return nil
}

// login issues a token for a role's id and one of its secrets.
func (rs *roles) login(r *request) (*logical.Response, error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.by == nil {
		return nil, logical.ErrPermissionDenied
	}
	for name, known := range rs.by {
		if known.id == r.text("role_id") && known.secrets[r.text("secret_id")] {
			return rs.handOut(name, known), nil
		}
	}
	return logical.ErrorResponse("invalid role or secret ID"), nil
}

func (rs *roles) handOut(name string, of *role) *logical.Response {
	t := token{display: "approle", path: "auth/approle/login", policies: of.policies, entity: newUUID(), meta: map[string]string{"role_name": name}, ttl: of.ttl, max: of.max, renewable: true, orphan: true}
	if t.ttl == 0 {
		t.ttl = maxTTL
	}
	if len(t.policies) == 0 {
		t.policies = []string{"default"}
	}
	return &logical.Response{Auth: rs.tokens.add(t).auth()}
}
