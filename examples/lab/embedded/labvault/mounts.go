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

// version is the Vault whose engine and answers these are.
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
	engine         logical.Backend // nil: a type that this server does not have
	storage        logical.Storage
}

// mounts is the mount table. The zero value is not usable.
type mounts struct {
	mu sync.RWMutex
	at map[string]*mount // by path
}

func newMounts() *mounts { return &mounts{at: map[string]*mount{}} }

// add mounts an engine. Any type may be mounted; what is not KV has no routes.
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

// errTaken says that a mount is at a path already, above it or below it.
type errTaken struct{ path string }

// Error is Vault's words.
func (e errTaken) Error() string { return "path is already in use at " + e.path }

// taken tells whether a mount is at a path, above it or below it.
func (m *mounts) taken(path string) bool {
	for at := range m.at {
		if strings.HasPrefix(path, at) || strings.HasPrefix(at, path) {
			return true
		}
	}
	return false
}

// start makes the engine, of the version that the options name. It outlives the
// request that mounted it.
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

// remove unmounts an engine; one that is not there is none to remove.
func (m *mounts) remove(ctx context.Context, path string) {
	path = strings.Trim(path, "/") + "/"
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.at[path]; e != nil && e.engine != nil {
		e.engine.Cleanup(ctx)
	}
	delete(m.at, path)
}

// find is the mount that a path lies in; nil: none.
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

// all is the table as sys/mounts shows it.
func (m *mounts) all() map[string]any {
	m.mu.RLock()
	defer m.mu.RUnlock()
	table := map[string]any{}
	for at, e := range m.at {
		table[at] = e.entry()
	}
	return table
}

// entry is a mount as Vault describes it.
func (e *mount) entry() map[string]any {
	return map[string]any{
		"accessor": e.accessor, "uuid": e.uuid, "type": e.Type, "description": e.Description, "options": e.Options,
		"local": false, "seal_wrap": false, "external_entropy_access": false,
		"plugin_version": "",
		"config":         map[string]any{"default_lease_ttl": 0, "max_lease_ttl": 0, "force_no_cache": false},
	}
}

// handle has the engine of the path's mount answer.
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

// createOrUpdate lets the engine's existence check decide which of the two a
// write is, as Vault does before its policies are asked.
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
