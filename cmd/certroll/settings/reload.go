package settings

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"time"

	"github.com/hashicorp/hcl/v2"

	"certroll/spec"
	"certroll/spec/bounded"
)

// IsOf reports whether these settings are from a file with the same contents.
func (s *Settings) IsOf(files []spec.File) bool {
	if s.File == nil || len(files) == 0 {
		return s.File == nil && len(files) == 0
	}
	return bytes.Equal(s.File.Bytes, files[0].Bytes)
}

// ChangedSince returns an error if certroll.hcl differs from these settings, read at at.
func (s *Settings) ChangedSince(at time.Time) error {
	if s.File == nil {
		return nil
	}
	b, err := bounded.File(s.File.Path, bounded.Named)
	switch {
	case err != nil:
		return fmt.Errorf("%s cannot be read any more: %w; what was read at %s is in use", s.File.Path, err, at.UTC().Format(time.RFC3339))
	case bytes.Equal(b, s.File.Bytes):
		return nil
	}
	return fmt.Errorf("%s has changed since it was read at %s: reload it (systemctl reload certroll, or kill -HUP %d)", s.File.Path, at.UTC().Format(time.RFC3339), os.Getpid())
}

// Path returns the path of certroll.hcl; "" if there is none.
func (s *Settings) Path() string {
	if s.File == nil {
		return ""
	}
	return s.File.Path
}

// KeepFixed copies from the settings in use those that cannot change while run is
// running, and returns the names of the changed ones.
func (s *Settings) KeepFixed(old *Settings) []string {
	var changed []string
	keep := func(name string, to, from any) {
		a, b := reflect.ValueOf(to).Elem(), reflect.ValueOf(from).Elem()
		if !reflect.DeepEqual(a.Interface(), b.Interface()) {
			changed = append(changed, name)
		}
		a.Set(b)
	}
	keep("state_dir", &s.StateDir, &old.StateDir)
	keep("parallel", &s.Parallel, &old.Parallel)
	// An address keeps the credentials that belong to it: a new token must not go to the
	// old host, nor may the old address lose its token because the new one needs none.
	if !reflect.DeepEqual(s.Listen, old.Listen) {
		keep("listen_token_file", &s.ListenTokenFile, &old.ListenTokenFile)
		keep("listen_token_env", &s.ListenTokenEnv, &old.ListenTokenEnv)
	}
	if s.Repo.URL != old.Repo.URL {
		keep("repo.auth", &s.Repo.Auth, &old.Repo.Auth)
	}
	keep("listen", &s.Listen, &old.Listen)
	keep("repo.url", &s.Repo.URL, &old.Repo.URL)
	keep("repo.ref", &s.Repo.Ref, &old.Repo.Ref)
	keep("repo.directory", &s.Repo.Directory, &old.Repo.Directory)
	keep("repo.depth", &s.Repo.Depth, &old.Repo.Depth)
	keep("repo.cache_dir", &s.Repo.CacheDir, &old.Repo.CacheDir)
	keep("ledger", &s.Ledger, &old.Ledger)
	keep("vault", &s.Vault, &old.Vault)
	keep("log.format", &s.Log.Format, &old.Log.Format)
	return changed
}

// SameSource reports whether both settings read the config repo in the same way.
func SameSource(a, b *Settings) bool {
	return reflect.DeepEqual(a.Verify, b.Verify) && reflect.DeepEqual(a.Repo, b.Repo)
}

// SameDestinations compares notify blocks without their positions in the file.
func SameDestinations(a, b []*Notify) bool {
	bare := func(list []*Notify) []Notify {
		out := make([]Notify, len(list))
		for i, n := range list {
			out[i] = *n
			out[i].Range, out[i].OnRange, out[i].WebhookRange, out[i].NameLabelSeen = hcl.Range{}, hcl.Range{}, hcl.Range{}, hcl.Range{}
		}
		return out
	}
	return reflect.DeepEqual(bare(a), bare(b))
}
