package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hashicorp/vault/api"

	"certroll/spec/bounded"
)

// KV reads and writes KV v2 secrets with text fields. Mount and path are separate
// arguments, without slashes at their ends. Both come validated from the spec or from
// certroll's own settings.
//
// https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2
type KV struct {
	c      *Client
	mounts mountCache
	limits limitCache
}

// NewKV returns a KV that uses a client.
func NewKV(c *Client) *KV { return &KV{c: c} }

// Read returns the fields and number of the current version. A secret without a current
// version, or with a deleted or destroyed one, is fs.ErrNotExist.
func (kv *KV) Read(ctx context.Context, mount, path string) (map[string]string, int, error) {
	return kv.read(ctx, mount, path, nil, "reading "+mount+"/"+path)
}

// ReadVersion returns the fields of one version.
func (kv *KV) ReadVersion(ctx context.Context, mount, path string, version int) (map[string]string, error) {
	query := url.Values{"version": {strconv.Itoa(version)}}
	data, _, err := kv.read(ctx, mount, path, query, fmt.Sprintf("reading version %d of %s/%s", version, mount, path))
	return data, err
}

// read is readInfo for the version number alone.
func (kv *KV) read(ctx context.Context, mount, path string, query url.Values, doing string) (map[string]string, int, error) {
	data, info, err := kv.readInfo(ctx, mount, path, query, doing)
	return data, info.Version, err
}

// readInfo returns the fields of a version and Vault's facts about it.
func (kv *KV) readInfo(ctx context.Context, mount, path string, query url.Values, doing string) (map[string]string, versionInfo, error) {
	var body struct {
		Data     map[string]any `json:"data"`
		Metadata versionInfo    `json:"metadata"`
	}
	found, err := kv.get(ctx, dataPath(mount, path), query, &body, doing)
	if err != nil {
		return nil, versionInfo{}, err
	}
	if !found || body.Data == nil {
		return nil, versionInfo{}, notFound(doing)
	}
	data := make(map[string]string, len(body.Data))
	for field, value := range body.Data {
		// Another program wrote fields that are not text: certroll's own fields are.
		if text, ok := value.(string); ok {
			data[field] = text
		}
	}
	return data, body.Metadata, nil
}

// versionInfo is KV v2's data about one version.
type versionInfo struct {
	Version      int    `json:"version"`
	DeletionTime string `json:"deletion_time"`
	Destroyed    bool   `json:"destroyed"`
	// Custom is the secret's custom metadata, which Vault returns with the data.
	Custom map[string]string `json:"custom_metadata"`
}

// readable reports whether the version can be read at a time. With delete_version_after
// the deletion time is in the future.
func (v versionInfo) readable(now time.Time) bool {
	if v.Destroyed {
		return false
	}
	// An empty deletion time does not parse: the version stays.
	deleted, err := time.Parse(time.RFC3339Nano, v.DeletionTime)
	return err != nil || deleted.After(now)
}

// ReadMetadata returns the current version (0 if nothing was ever written, which is no
// error), whether it can be read, and the custom metadata. It needs only the capability
// "read" on the metadata.
func (kv *KV) ReadMetadata(ctx context.Context, mount, path string) (current int, live bool, custom map[string]string, err error) {
	doing := "reading the metadata of " + mount + "/" + path
	if err := kv.Check(ctx, mount); err != nil {
		return 0, false, nil, err
	}
	var body metadata
	if _, err := kv.get(ctx, metadataPath(mount, path), nil, &body, doing); err != nil {
		return 0, false, nil, err
	}
	version, there := body.Versions[strconv.Itoa(body.Current)]
	kv.limits.note(body.limits(mount, path, version))
	return body.Current, there && version.readable(time.Now()), body.Custom, nil
}

// List returns the keys directly below a path; an empty list is no error. It needs the
// capability "list" on the metadata.
func (kv *KV) List(ctx context.Context, mount, path string) ([]string, error) {
	doing := "listing " + mount + "/" + path
	at := metadataPath(mount, path)
	secret, err := kv.c.api.Logical().ListWithContext(ctx, at)
	if err != nil {
		return nil, kv.c.explain(err, doing, at, "list")
	}
	if secret == nil {
		return nil, nil
	}
	var body struct {
		Keys []string `json:"keys"`
	}
	if err := decode(secret, &body); err != nil {
		return nil, unreadable(doing, err)
	}
	return body.Keys, nil
}

// Write writes a secret with check-and-set and returns its new version. cas is the
// current version, 0 if there is none. If another version is current by now, the error
// has Conflict() true.
func (kv *KV) Write(ctx context.Context, mount, path string, data map[string]string, cas int) (int, error) {
	doing := "writing " + mount + "/" + path
	at := dataPath(mount, path)
	// KV version 1 would accept the write, and store "data" and "options" as fields.
	if err := kv.Check(ctx, mount); err != nil {
		return 0, err
	}
	secret, err := kv.c.api.Logical().WriteWithContext(ctx, at, map[string]any{
		"data": data, "options": map[string]any{"cas": cas},
	})
	if err != nil {
		err := kv.c.explain(err, doing, at, "create, update")
		if isConflict(err) {
			return kv.wroteAlready(ctx, mount, path, data, cas, err)
		}
		return 0, err
	}
	var body versionInfo
	if err := decode(secret, &body); err != nil {
		return 0, unreadable(doing, err)
	}
	return body.Version, nil
}

// wroteAlready checks whether a conflict is with certroll's own write: the api client
// repeats a request whose answer was lost, and if the first one succeeded, check-and-set
// rejects the second.
func (kv *KV) wroteAlready(ctx context.Context, mount, path string, data map[string]string, cas int, conflict error) (int, error) {
	there, version, err := kv.Read(ctx, mount, path)
	if err == nil && version == cas+1 && maps.Equal(there, data) {
		return version, nil
	}
	return 0, conflict
}

// WriteMetadata replaces the custom metadata of a secret. KV v2 allows 64 keys of 128
// bytes with values of 1 to 512 bytes, and offers no check-and-set for metadata.
func (kv *KV) WriteMetadata(ctx context.Context, mount, path string, custom map[string]string) error {
	at := metadataPath(mount, path)
	_, err := kv.c.api.Logical().WriteWithContext(ctx, at, map[string]any{"custom_metadata": custom})
	if err != nil {
		return kv.c.explain(err, "writing the metadata of "+mount+"/"+path, at, "create, update")
	}
	return nil
}

// Delete soft-deletes the current version; `vault kv undelete` restores it.
func (kv *KV) Delete(ctx context.Context, mount, path string) error {
	return kv.remove(ctx, dataPath(mount, path), "deleting "+mount+"/"+path)
}

// Destroy removes a secret with all its versions and its metadata. A missing secret is no
// error.
func (kv *KV) Destroy(ctx context.Context, mount, path string) error {
	return kv.remove(ctx, metadataPath(mount, path), "removing "+mount+"/"+path+" for good")
}

// remove sends one DELETE request.
func (kv *KV) remove(ctx context.Context, at, doing string) error {
	if _, err := kv.c.api.Logical().DeleteWithContext(ctx, at); err != nil {
		return kv.c.explain(err, doing, at, "delete")
	}
	return nil
}

func dataPath(mount, path string) string     { return mount + "/data/" + path }
func metadataPath(mount, path string) string { return mount + "/metadata/" + path }

// get decodes the data of an answer without the api package's conversion to maps. A
// missing or deleted secret returns found = false and no error.
func (kv *KV) get(ctx context.Context, at string, query url.Values, into any, doing string) (found bool, err error) {
	resp, err := kv.c.api.Logical().ReadRawWithDataWithContext(ctx, at, query)
	if resp != nil {
		defer func() { _ = resp.Body.Close() }()
	}
	switch {
	case statusOf(err) == http.StatusNotFound:
		return false, nil
	case err != nil:
		return false, kv.c.explain(err, doing, at, "read")
	}
	if err := json.NewDecoder(bounded.Reader(resp.Body, maxRead)).Decode(&struct{ Data any }{into}); err != nil {
		return false, unreadable(doing, err)
	}
	return true, nil
}

// decode decodes the data of an answer; a nil answer changes nothing.
func decode(secret *api.Secret, into any) error {
	if secret == nil {
		return nil
	}
	b, err := json.Marshal(secret.Data)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

// unreadable returns the error for an answer that is not KV v2's. It does not quote the
// cause, because an answer, and so a decoder's error, may contain a secret.
func unreadable(doing string, cause error) error {
	if large := (*bounded.TooLargeError)(nil); errors.As(cause, &large) {
		return &Error{doing: doing, said: "Vault's answer is too large: " + large.Error(), advice: "check the proxies between certroll and Vault", cause: cause}
	}
	return &Error{doing: doing, said: "Vault's answer is not one of KV v2", advice: "check that the mount is KV version 2, and what stands between certroll and Vault", cause: cause}
}
