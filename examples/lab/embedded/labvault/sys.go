package main

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

// errNoPolicies rejects calls that need policies: a test that relies on a policy must
// fail here and not pass by chance.
var errNoPolicies = fmt.Errorf("%w: labvault has no policies, every token may do everything; set CERTROLL_LAB_VAULT=vault for a real server", logical.ErrInvalidRequest)

// serveUnsealing answers the calls that a sealed server also answers.
func (f *front) serveUnsealing(w http.ResponseWriter, r *http.Request, path string) bool {
	switch path {
	case "sys/health":
		f.health(w)
	case "sys/seal-status":
		writeJSON(w, http.StatusOK, f.sealStatus())
	case "sys/unseal":
		f.unseal(w, r)
	case "sys/seal":
		f.seal(w, r)
	default:
		return false
	}
	return true
}

func (f *front) isSealed() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.sealed
}

func (f *front) health(w http.ResponseWriter) {
	status, replication := http.StatusOK, "disabled"
	data := map[string]any{
		"initialized": true, "sealed": false, "standby": false, "performance_standby": false, "enterprise": false,
		"replication_primary_canary_age_ms": 0, "server_time_utc": time.Now().Unix(), "version": version, "echo_duration_ms": 0, "clock_skew_ms": 0,
	}
	if f.isSealed() {
		status, replication = http.StatusServiceUnavailable, "unknown"
		data["sealed"], data["standby"] = true, true
	} else {
		f.inCluster(data)
	}
	data["replication_performance_mode"], data["replication_dr_mode"] = replication, replication
	writeJSON(w, status, data)
}

// inCluster adds the fields that only an unsealed server returns.
func (f *front) inCluster(data map[string]any) {
	data["cluster_name"], data["cluster_id"] = "labvault", f.clusterID
}

func (f *front) sealStatus() map[string]any {
	data := map[string]any{
		"type": "shamir", "initialized": true, "sealed": f.isSealed(), "t": 1, "n": 1, "progress": 0, "nonce": "",
		"version": version, "build_date": "2025-10-22T00:00:00Z", "migration": false, "recovery_seal": false, "storage_type": "inmem",
	}
	if !f.isSealed() {
		f.inCluster(data)
	}
	return data
}

// seal stops all engines until the unseal key arrives. Their data stays in memory.
func (f *front) seal(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPut && r.Method != http.MethodPost {
		logical.RespondError(w, http.StatusMethodNotAllowed, nil)
		return
	}
	if given := tokenOf(r); f.tokens.find(given) == nil {
		logical.RespondError(w, http.StatusForbidden, denied(given))
		return
	}
	f.mu.Lock()
	f.sealed = true
	f.mu.Unlock()
	noContent(w)
}

func (f *front) unseal(w http.ResponseWriter, r *http.Request) {
	var in struct{ Key string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&in); err != nil && !errors.Is(err, io.EOF) {
		logical.RespondError(w, http.StatusBadRequest, err)
		return
	}
	if subtle.ConstantTimeCompare([]byte(in.Key), []byte(f.unsealKey)) != 1 {
		logical.RespondError(w, http.StatusBadRequest, errors.New("unseal failed, invalid key"))
		return
	}
	f.mu.Lock()
	f.sealed = false
	f.mu.Unlock()
	writeJSON(w, http.StatusOK, f.sealStatus())
}

// uiMounts lists the mounts that a token may use.
const uiMounts = "sys/internal/ui/mounts"

// sys answers the calls below sys/ that a sealed server does not answer.
func (f *front) sys(r *request) (*logical.Response, bool, error) {
	path, ok := strings.CutPrefix(r.path, "sys/")
	if !ok {
		return nil, false, nil
	}
	resp, err := f.system(r, strings.TrimSuffix(path, "/"))
	if resp != nil && !strings.HasPrefix(r.path, uiMounts) {
		resp.MountType = "system"
	}
	return resp, true, err
}

func (f *front) system(r *request, path string) (*logical.Response, error) {
	at, isMount := strings.CutPrefix(path, "mounts/")
	shown, isShown := strings.CutPrefix(path, "internal/ui/mounts/")
	switch {
	case path == "mounts" && r.op == logical.ReadOperation:
		return &logical.Response{Data: f.mounts.all()}, nil
	case path == "internal/ui/mounts" && r.op == logical.ReadOperation:
		return &logical.Response{Data: map[string]any{"secret": f.mounts.all(), "auth": map[string]any{}}}, nil
	case isShown && r.op == logical.ReadOperation:
		return f.show(shown)
	case isMount && r.op == logical.UpdateOperation:
		return f.mount(r, at)
	case isMount && r.op == logical.ReadOperation:
		if e := f.mounts.find(at); e != nil && e.path == at+"/" {
			return &logical.Response{Data: e.entry()}, nil
		}
		return logical.ErrorResponse("No secret engine mount at %s/", at), nil
	case isMount && r.op == logical.DeleteOperation:
		f.mounts.remove(r.http.Context(), at)
		return nil, nil
	case path == "capabilities-self" && r.op == logical.UpdateOperation:
		return capabilities(r), nil
	case path == "auth/approle" && r.op == logical.UpdateOperation && r.text("type") == "approle":
		return f.roles.enable()
	case strings.HasPrefix(path, "policies/") || strings.HasPrefix(path, "policy/"):
		return nil, errNoPolicies
	}
	return nil, fmt.Errorf("labvault does not have sys/%s: %w", path, logical.ErrUnsupportedPath)
}

func (f *front) mount(r *request, at string) (*logical.Response, error) {
	b, err := json.Marshal(r.data)
	if err != nil {
		return nil, err
	}
	var in mountRequest
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, fmt.Errorf("%w: %w", logical.ErrInvalidRequest, err)
	}
	err = f.mounts.add(r.http.Context(), at, in)
	if taken := (errTaken{}); errors.As(err, &taken) {
		return refuse(logical.ErrInvalidRequest, "%s", taken.Error())
	}
	return nil, err
}

// show returns the mount that contains a path. Vault returns the same error for a missing
// mount as for one without permission.
func (f *front) show(path string) (*logical.Response, error) {
	e := f.mounts.find(path)
	if e == nil {
		return refuse(logical.ErrPermissionDenied, "preflight capability check returned 403, please ensure client's policies grant access to path %q", path+"/")
	}
	data := e.entry()
	data["path"] = e.path
	lives := int64(maxTTL.Seconds()) // the meaning of 0
	data["config"] = map[string]any{"default_lease_ttl": lives, "max_lease_ttl": lives, "force_no_cache": false}
	return &logical.Response{Data: data}, nil
}

// capabilities grants everything to every token. If the request names a single path, the
// answer also contains them at the top level, for older clients.
func capabilities(r *request) *logical.Response {
	data := map[string]any{}
	paths := texts(r.data["paths"])
	for _, path := range paths {
		data[path] = []string{"root"}
	}
	if len(paths) == 1 {
		data["capabilities"] = []string{"root"}
	}
	return &logical.Response{Data: data}
}
