package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	log "github.com/hashicorp/go-hclog"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/sdk/logical"
)

// version is the Vault version of the engine and the answers.
const version = "1.21.0"

// maxTTL is Vault's default for leases and tokens.
const maxTTL = 768 * time.Hour

// mountRequest is the body of a call that mounts an engine.
type mountRequest struct {
	Type, Description string
	Options           map[string]string
}

// mount is one entry of the mount table.
type mount struct {
	mountRequest
	path           string // "secret/"
	uuid, accessor string
	engine         logical.Backend // nil for types that labvault lacks
	storage        logical.Storage
}

// mounts is the mount table. The zero value is not usable.
type mounts struct {
	mu sync.RWMutex
	at map[string]*mount // by path
}

func newMounts() *mounts { return &mounts{at: map[string]*mount{}} }

// add mounts an engine. It accepts any type, but only KV has routes.
func (m *mounts) add(ctx context.Context, path string, r mountRequest) error {
	path = strings.Trim(path, "/") + "/"
	if r.Type == "kv-v2" {
		r.Type, r.Options = "kv", map[string]string{"version": "2"}
	}
	if r.Options == nil {
		r.Options = map[string]string{}
	}
	e := &mount{mountRequest: r, path: path, uuid: newUUID(), accessor: r.Type + "_" + newUUID()[:8], storage: &logical.InmemStorage{}}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.taken(path) {
		return errTaken{path}
	}
	if r.Type == "kv" {
		var err error
		if e.engine, err = e.start(ctx); err != nil {
			return fmt.Errorf("mounting KV at %s: %w", path, err)
		}
	}
	m.at[path] = e
	return nil
}

// errTaken reports a mount at, above or below a path.
type errTaken struct{ path string }

// Error returns Vault's text.
func (e errTaken) Error() string { return "path is already in use at " + e.path }

// taken reports whether there is a mount at, above or below a path.
func (m *mounts) taken(path string) bool {
	for at := range m.at {
		if strings.HasPrefix(path, at) || strings.HasPrefix(at, path) {
			return true
		}
	}
	return false
}

// start creates the engine in the version that the options state. It must outlive the
// request that mounts it.
func (e *mount) start(ctx context.Context) (logical.Backend, error) {
	conf := &logical.BackendConfig{
		StorageView: e.storage,
		Logger:      log.NewNullLogger(),
		System:      logical.StaticSystemView{DefaultLeaseTTLVal: maxTTL, MaxLeaseTTLVal: maxTTL, VersionString: version},
		BackendUUID: e.uuid,
		Config:      e.Options,
	}
	return kv.Factory(context.WithoutCancel(ctx), conf)
}

// remove unmounts an engine. Like Vault, it ignores a missing one.
func (m *mounts) remove(ctx context.Context, path string) {
	path = strings.Trim(path, "/") + "/"
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.at[path]; e != nil && e.engine != nil {
		e.engine.Cleanup(ctx)
	}
	delete(m.at, path)
}

// find returns the mount that contains a path, or nil.
func (m *mounts) find(path string) *mount {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for at, e := range m.at {
		if strings.HasPrefix(path+"/", at) {
			return e
		}
	}
	return nil
}

// all returns the table in the form of sys/mounts.
func (m *mounts) all() map[string]any {
	m.mu.RLock()
	defer m.mu.RUnlock()
	table := map[string]any{}
	for at, e := range m.at {
		table[at] = e.entry()
	}
	return table
}

// entry returns a mount in the form of Vault's answers.
func (e *mount) entry() map[string]any {
	return map[string]any{
		"accessor": e.accessor, "uuid": e.uuid, "type": e.Type, "description": e.Description, "options": e.Options,
		"local": false, "seal_wrap": false, "external_entropy_access": false,
		"plugin_version": "",
		"config":         map[string]any{"default_lease_ttl": 0, "max_lease_ttl": 0, "force_no_cache": false},
	}
}

// handle passes a call to the engine of the path's mount.
func (m *mounts) handle(r *request) (*logical.Response, error) {
	e := m.find(r.path)
	if e == nil {
		return refuse(logical.ErrUnsupportedPath, "no handler for route %q. route entry not found.", r.path)
	}
	writes := r.op == logical.UpdateOperation || r.op == logical.PatchOperation
	if writes && strings.HasSuffix(r.path, "/") {
		return logical.ErrorResponse("cannot write to a path ending in '/'"), nil
	}
	if e.engine == nil {
		return nil, logical.ErrUnsupportedPath
	}
	req := &logical.Request{
		ID: newUUID(), Operation: r.op, Path: strings.TrimPrefix(r.path, e.path), MountPoint: e.path, MountType: e.Type,
		Data: r.data, Storage: e.storage, ClientToken: r.token.id, ClientID: r.token.accessor, DisplayName: r.token.display,
	}
	ctx := r.http.Context()
	if err := e.createOrUpdate(ctx, req); err != nil {
		return nil, err
	}
	resp, err := e.engine.HandleRequest(ctx, req)
	if resp != nil {
		resp.MountType = e.Type
	}
	return resp, err
}

// createOrUpdate decides between create and update by the engine's existence check, as
// Vault does before it checks policies.
func (e *mount) createOrUpdate(ctx context.Context, req *logical.Request) error {
	if req.Operation != logical.UpdateOperation {
		return nil
	}
	checked, exists, err := e.engine.HandleExistenceCheck(ctx, req)
	if err != nil {
		return err
	}
	if checked && !exists {
		req.Operation = logical.CreateOperation
	}
	return nil
}
