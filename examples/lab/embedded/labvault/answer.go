package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	uuid "github.com/hashicorp/go-uuid"
	"github.com/hashicorp/vault/sdk/logical"
)

// respond writes an answer in Vault's form. A read or list without a result is 404 with
// no errors; any other call without a result is 204.
func respond(w http.ResponseWriter, r *request, resp *logical.Response, err error) {
	if status, err := logical.RespondErrorCommon(&logical.Request{Operation: r.op}, resp, err); status != 0 || err != nil {
		logical.RespondError(w, status, err)
		return
	}
	if resp == nil {
		noContent(w)
		return
	}
	if _, raw := resp.Data[logical.HTTPStatusCode]; raw {
		respondRaw(w, resp)
		return
	}
	answer := logical.LogicalResponseToHTTPResponse(resp)
	answer.RequestID = newUUID()
	// Answers of sys/ appear below data, and at the top level for older clients.
	if strings.HasPrefix(r.path, "sys/") && !strings.HasPrefix(r.path, uiMounts) {
		writeJSON(w, http.StatusOK, logical.HTTPSysInjector{Response: answer})
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// refuse returns an error response with the given text; err determines the status.
func refuse(err error, format string, args ...any) (*logical.Response, error) {
	return logical.ErrorResponse(format, args...), err
}

// respondRaw writes an answer whose status and body the engine chose, like KV's for a
// deleted version: 404 with its metadata.
func respondRaw(w http.ResponseWriter, resp *logical.Response) {
	status, _ := resp.Data[logical.HTTPStatusCode].(int)
	kind, _ := resp.Data[logical.HTTPContentType].(string)
	var body []byte
	switch b := resp.Data[logical.HTTPRawBody].(type) {
	case []byte:
		body = b
	case string:
		body = []byte(b)
		if decoded, err := base64.StdEncoding.DecodeString(b); err == nil {
			body = decoded
		}
	}
	if kind != "" {
		w.Header().Set("Content-Type", kind)
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// noContent writes 204. Vault declares it as JSON.
func noContent(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNoContent)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func newUUID() string {
	id, err := uuid.GenerateUUID()
	if err != nil { // from crypto/rand, which never fails
		panic(err)
	}
	return id
}

// statusWriter records the status, for the log.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
