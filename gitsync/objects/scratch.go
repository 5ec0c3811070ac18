package objects

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"certroll/gitsync/filelock"
	"certroll/gitsync/packfile"
)

// The names of temporary directories begin with one of these.
const (
	scratchGit     = "certroll-git-"
	scratchHistory = "certroll-history-"
)

// HistoryDir makes a temporary directory for a store with a whole history. The caller removes
// it.
func HistoryDir() (string, error) { return scratchDir(scratchHistory) }

// scratchDir makes a temporary directory, and first removes those that killed processes left.
func scratchDir(prefix string) (string, error) {
	sweepScratch(os.TempDir())
	return os.MkdirTemp("", prefix)
}

// sweepScratch removes the temporary directories of processes that have ended. A store locks
// its directory, and the kernel releases the lock of a killed process. The directory is shared
// with other users, so sweepScratch touches only directories that this user made, and that no
// other user can write.
func sweepScratch(tmp string) {
	entries, _ := os.ReadDir(tmp)
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), scratchGit) && !strings.HasPrefix(e.Name(), scratchHistory) {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().Perm() == 0o700 && isOurs(info) {
			removeAbandoned(filepath.Join(tmp, e.Name()))
		}
	}
}

// removeAbandoned removes a directory if it has locks and their holders have ended. A directory
// without a lock stays: its maker may be about to take it.
func removeAbandoned(dir string) {
	pattern := packfile.EscapeGlob(dir)
	own, _ := filepath.Glob(filepath.Join(pattern, "lock"))
	below, _ := filepath.Glob(filepath.Join(pattern, "*", "lock"))
	locks := slices.Concat(own, below)
	for _, path := range locks {
		lock, ok := filelock.TakeAbandoned(path)
		if !ok {
			return
		}
		defer func() { _ = lock.Release() }()
	}
	if len(locks) > 0 {
		_ = os.RemoveAll(dir)
	}
}
