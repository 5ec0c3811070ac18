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

// IsOf tells whether these settings are what the file says that was read now.
func (s *Settings) IsOf(files []spec.File) bool {
	if s.File == nil || len(files) == 0 {
		return s.File == nil && len(files) == 0
	}
	return bytes.Equal(s.File.Bytes, files[0].Bytes)
}

// ChangedSince is an error where certroll.hcl is otherwise than these settings.
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

// Path is the file of the settings; "" where there is none.
func (s *Settings) Path() string {
	if s.File == nil {
		return ""
	}
	return s.File.Path
}

// KeepFixed takes from the settings in use what cannot change while run is at work, and
// names what was to change of it.
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
	// What is shown or asked for at an address goes with it: a new token must not be
	// sent to the former host, nor the former address be open because the new one may be.
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

// SameSource tells whether the config repo is read in the same way.
func SameSource(a, b *Settings) bool {
	return reflect.DeepEqual(a.Verify, b.Verify) && reflect.DeepEqual(a.Repo, b.Repo)
}

// SameDestinations looks past the places in certroll.hcl.
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
