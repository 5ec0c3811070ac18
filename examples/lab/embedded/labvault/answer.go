package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	uuid "github.com/hashicorp/go-uuid"
	"github.com/hashicorp/vault/sdk/logical"
)

// respond writes an answer in Vault's form. A read or list that has nothing to
// answer is 404 with no errors; any other call that has nothing is 204.
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
	// The system's own answers stand twice: below data, and at the top for clients of old.
	if strings.HasPrefix(r.path, "sys/") && !strings.HasPrefix(r.path, uiMounts) {
		writeJSON(w, http.StatusOK, logical.HTTPSysInjector{Response: answer})
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// refuse is a refusal in the given words; the error decides the status.
func refuse(err error, format string, args ...any) (*logical.Response, error) {
	return logical.ErrorResponse(format, args...), err
}

// respondRaw writes an answer for which the engine chose status and body, as KV
// does for a version that was deleted: 404, and its metadata.
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

// noContent is 204, which Vault says is JSON.
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
	if err != nil { // of crypto/rand, which never fails
		panic(err)
	}
	return id
}

// statusWriter remembers the status, for the log.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
