package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/helper/jsonutil"
	"github.com/hashicorp/vault/sdk/logical"
)

// maxBody is Vault's default size limit of a request, in bytes.
const maxBody = 32 << 20

// prefix begins all paths of the API.
const prefix = "/v1/"

// mergePatch is the only content type that Vault accepts for PATCH (RFC 7396).
const mergePatch = "application/merge-patch+json"

// front is the HTTP API. Like Vault, it serves requests concurrently.
type front struct {
	unsealKey string
	clusterID string
	verbose   bool
	mounts    *mounts
	tokens    *tokens
	roles     *roles

	mu     sync.RWMutex
	sealed bool
}

func newFront(ctx context.Context, rootToken string) (*front, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	f := &front{unsealKey: hex.EncodeToString(key), clusterID: newUUID(), mounts: newMounts(), tokens: newTokens(rootToken)}
	f.roles = newRoles(f.tokens)
	secret := mountRequest{Type: "kv", Description: "key/value secret storage", Options: map[string]string{"version": "2"}}
	return f, f.mounts.add(ctx, "secret", secret)
}

// request is one call, in the form for the handlers.
type request struct {
	http  *http.Request
	op    logical.Operation
	path  string // below /v1/
	data  map[string]any
	token *token // nil if there is no valid token
}

// ServeHTTP answers one call below prefix.
func (f *front) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	path := strings.TrimPrefix(hr.URL.Path, prefix)
	rec := &statusWriter{ResponseWriter: w}
	f.serve(rec, hr, path)
	if f.verbose {
		log.Printf("%s %s: %d", hr.Method, hr.URL.Path, rec.status)
	}
}

func (f *front) serve(w http.ResponseWriter, hr *http.Request, path string) {
	if f.serveUnsealing(w, hr, path) {
		return
	}
	f.mu.RLock()
	defer f.mu.RUnlock() // a seal waits for requests in progress
	if f.sealed {
		logical.RespondError(w, http.StatusServiceUnavailable, consts.ErrSealed)
		return
	}
	r, wrong := parse(w, hr, path)
	if wrong != nil {
		logical.RespondError(w, wrong.status, wrong.why)
		return
	}
	resp, err := f.handle(r)
	respond(w, r, resp, err)
}

// handle dispatches a call: to the front for sys/ and auth/, else to an engine.
func (f *front) handle(r *request) (*logical.Response, error) {
	if r.path == "auth/approle/login" && r.op == logical.UpdateOperation {
		return f.roles.login(r)
	}
	r.token = f.tokens.find(tokenOf(r.http))
	if r.token == nil {
		return nil, denied(tokenOf(r.http))
	}
	for _, h := range []func(*request) (*logical.Response, bool, error){f.sys, f.tokens.serve, f.roles.serve} {
		if resp, mine, err := h(r); mine {
			return resp, err
		}
	}
	return f.mounts.handle(r)
}

// errInvalidToken is Vault's error for an unknown token, in the form of Vault's error lists.
//
//nolint:revive // the words and line breaks are Vault's
var errInvalidToken = fmt.Errorf("2 errors occurred:\n\t* %w\n\t* invalid token\n\n", logical.ErrPermissionDenied)

func denied(given string) error {
	if given == "" {
		return logical.ErrPermissionDenied
	}
	return errInvalidToken
}

// tokenOf returns the token from either of the headers that Vault accepts.
func tokenOf(r *http.Request) string {
	if t := r.Header.Get(consts.AuthHeaderName); t != "" {
		return t
	}
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return bearer
}

// wrongCall is the answer to a malformed call.
type wrongCall struct {
	status int
	why    error // nil if Vault sends only the status
}

func parse(w http.ResponseWriter, hr *http.Request, path string) (*request, *wrongCall) {
	r := &request{http: hr, path: path}
	query := hr.URL.Query()
	switch hr.Method {
	case http.MethodGet, "LIST":
		r.op = logical.ReadOperation
		list, err := listing(hr.Method, query)
		if err != nil {
			return nil, &wrongCall{status: http.StatusBadRequest}
		}
		if list {
			r.op, r.path = logical.ListOperation, strings.TrimSuffix(path, "/")+"/"
		}
		r.data = fields(query)
	case http.MethodDelete:
		r.op, r.data = logical.DeleteOperation, fields(query)
	case http.MethodPost, http.MethodPut:
		r.op = logical.UpdateOperation
		if wrong := r.decode(w); wrong != nil {
			return nil, wrong
		}
	case http.MethodPatch:
		r.op = logical.PatchOperation
		if kind, _, err := mime.ParseMediaType(hr.Header.Get("Content-Type")); err != nil || kind != mergePatch {
			return nil, &wrongCall{http.StatusUnsupportedMediaType, fmt.Errorf("PATCH requires Content-Type of %s, provided %s", mergePatch, kind)}
		}
		if wrong := r.decode(w); wrong != nil {
			return nil, wrong
		}
	default:
		return nil, &wrongCall{status: http.StatusMethodNotAllowed}
	}
	return r, nil
}

func listing(method string, query url.Values) (bool, error) {
	text := query.Get("list")
	query.Del("list")
	if method == "LIST" || text == "" {
		return method == "LIST", nil
	}
	return strconv.ParseBool(text)
}

// decode reads the body. Numbers stay json.Number, as the engine expects them.
func (r *request) decode(w http.ResponseWriter) *wrongCall {
	err := jsonutil.DecodeJSONFromReader(http.MaxBytesReader(w, r.http.Body, maxBody), &r.data)
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil, errors.Is(err, io.EOF): // an empty body is valid
		return nil
	case errors.As(err, &tooLarge):
		return &wrongCall{http.StatusRequestEntityTooLarge, err}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &wrongCall{http.StatusInternalServerError, errors.New("malformed JSON, unclosed containers")}
	}
	return &wrongCall{http.StatusBadRequest, fmt.Errorf("error parsing JSON: %w", err)}
}

// fields returns a query's fields. A field that occurs once is a text.
func fields(query url.Values) map[string]any {
	var data map[string]any
	for k, v := range query {
		if data == nil {
			data = map[string]any{}
		}
		data[k] = v
		if len(v) == 1 {
			data[k] = v[0]
		}
	}
	return data
}

// text returns a field of the request if it is a text, else "".
func (r *request) text(field string) string {
	s, _ := r.data[field].(string)
	return s
}
