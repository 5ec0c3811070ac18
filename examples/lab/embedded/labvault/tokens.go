package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

// token is one login.
type token struct {
	id, accessor, display, path string
	entity                      string // of a login with an auth method
	meta                        map[string]string
	policies                    []string
	made, ends                  time.Time // ends is zero for a token that never expires
	ttl, max                    time.Duration
	renewable, orphan           bool
}

// tokens are all issued tokens that were not revoked. An expired token is removed at its
// next use.
type tokens struct {
	mu sync.Mutex
	by map[string]*token
}

func newTokens(root string) *tokens {
	t := &token{id: root, accessor: random(18), display: "token", path: "auth/token/create", policies: []string{"root"}, made: time.Now(), orphan: true}
	return &tokens{by: map[string]*token{root: t}}
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand aborts the program instead
	return base64.RawURLEncoding.EncodeToString(b)
}

// find returns the current state of a valid token, or nil.
func (ts *tokens) find(id string) *token {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.by[id]
	if t == nil {
		return nil
	}
	if !t.ends.IsZero() && !time.Now().Before(t.ends) {
		delete(ts.by, id)
		return nil
	}
	found := *t
	return &found
}

// add issues a token for ttl, which renewals may extend to max.
func (ts *tokens) add(t token) *token {
	t.id, t.accessor, t.made = "hvs."+random(24), random(18), time.Now()
	t.ends = t.made.Add(t.ttl)
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.by[t.id] = &t
	given := t
	return &given
}

// renew extends a token by increment, or by its original TTL if increment is 0, up to its
// maximum life.
func (ts *tokens) renew(id string, increment time.Duration) (*token, error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.by[id]
	if t == nil || !t.renewable {
		return nil, fmt.Errorf("%w: lease is not renewable", logical.ErrInvalidRequest)
	}
	if increment == 0 {
		increment = t.ttl
	}
	if latest := t.made.Add(t.max); t.max != 0 {
		increment = min(increment, time.Until(latest))
	}
	t.ends = time.Now().Add(increment)
	renewed := *t
	return &renewed, nil
}

func (ts *tokens) revoke(id string) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.by, id)
}

// serve answers auth/token/.
func (ts *tokens) serve(r *request) (*logical.Response, bool, error) {
	path, ok := strings.CutPrefix(r.path, "auth/token/")
	if !ok {
		return nil, false, nil
	}
	resp, err := ts.call(r, path)
	if resp != nil {
		resp.MountType = "token"
	}
	return resp, true, err
}

func (ts *tokens) call(r *request, path string) (*logical.Response, error) {
	subject := r.text("token")
	if strings.HasSuffix(path, "-self") {
		subject = r.token.id
	}
	switch strings.TrimSuffix(path, "-self") {
	case "create", "create-orphan":
		return ts.create(r, path == "create-orphan")
	case "lookup":
		t := ts.find(subject)
		if t == nil {
			return refuse(logical.ErrPermissionDenied, "bad token")
		}
		return &logical.Response{Data: t.look()}, nil
	case "renew":
		increment, err := seconds(r.data["increment"])
		if err != nil {
			return nil, err
		}
		t, err := ts.renew(subject, increment)
		if err != nil {
			return nil, err
		}
		return &logical.Response{Auth: t.auth()}, nil
	case "revoke":
		ts.revoke(subject)
		return nil, nil
	}
	return nil, logical.ErrUnsupportedPath
}

// create issues a child token, which may do everything.
func (ts *tokens) create(r *request, orphan bool) (*logical.Response, error) {
	policies, err := policiesOf(r.data["policies"])
	if err != nil {
		return nil, err
	}
	if len(policies) == 0 { // the parent's policies
		policies = r.token.policies
	}
	ttl, err := seconds(r.data["ttl"])
	if err != nil {
		return nil, err
	}
	if ttl == 0 {
		ttl = maxTTL
	}
	renewable := r.data["renewable"] != false
	t := ts.add(token{display: "token", path: "auth/token/" + strings.TrimPrefix(r.path, "auth/token/"), policies: policies, ttl: ttl, max: maxTTL, renewable: renewable, orphan: orphan})
	return &logical.Response{Auth: t.auth()}, nil
}

// policiesOf accepts only root, the only policy. A client that requests another one
// expects a restriction that labvault could not enforce.
func policiesOf(v any) ([]string, error) {
	policies := texts(v)
	for _, policy := range policies {
		if policy != "root" {
			return nil, errNoPolicies
		}
	}
	return policies, nil
}

// texts reads a list of texts, or one text with commas.
func texts(v any) []string {
	var list []string
	switch v := v.(type) {
	case string:
		return strings.Split(v, ",")
	case []any:
		for _, e := range v {
			if s, ok := e.(string); ok {
				list = append(list, s)
			}
		}
	}
	return list
}

// seconds reads a duration in Vault's forms: "90s", "90" or 90.
func seconds(v any) (time.Duration, error) {
	var text string
	switch v := v.(type) {
	case nil:
		return 0, nil
	case json.Number:
		text = v.String()
	case string:
		text = v
	}
	if text == "" {
		return 0, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	d, err := time.ParseDuration(text + "s")
	if err != nil {
		return 0, fmt.Errorf("%w: %v is no duration", logical.ErrInvalidRequest, v)
	}
	return d, nil
}

// left returns the token's remaining life in whole seconds, like Vault; 0 if it never
// expires.
func (t *token) left() time.Duration {
	if t.ends.IsZero() {
		return 0
	}
	return time.Until(t.ends).Round(time.Second)
}

// look returns a token in the form of lookup.
func (t *token) look() map[string]any {
	data := map[string]any{
		"id": t.id, "accessor": t.accessor, "display_name": t.display, "path": t.path, "policies": t.policies, "type": "service",
		"creation_time": t.made.Unix(), "creation_ttl": int64(t.ttl.Seconds()), "ttl": int64(t.left().Seconds()), "expire_time": nil,
		"explicit_max_ttl": 0, "num_uses": 0, "orphan": t.orphan, "meta": t.meta, "entity_id": t.entity,
	}
	data["issue_time"], data["renewable"] = t.made, t.renewable
	if !t.ends.IsZero() {
		data["expire_time"] = t.ends
	}
	return data
}

// auth returns a token in the form of a login's answer.
func (t *token) auth() *logical.Auth {
	a := &logical.Auth{ClientToken: t.id, Accessor: t.accessor, Policies: t.policies, TokenPolicies: t.policies, TokenType: logical.TokenTypeService, Orphan: t.orphan}
	a.TTL, a.Renewable, a.EntityID, a.Metadata = t.left(), t.renewable, t.entity, t.meta
	return a
}
