package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is set by the build.
var release = ""

// version returns the release, or the module version of a development build.
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version, the commit it was built from, and Go's version",
		Long: `Show the version, the commit that it was built from and its date, Go's version and
the platform. "go version -m" lists the libraries in it with their versions; the
archive of a release has the same list as an SBOM.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(a.Data(), "certroll %s\n%s%s %s/%s\n", version(), builtFrom(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// builtFrom returns a line about the commit; "" if Go did not stamp it.
func builtFrom() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || stamp(info, "vcs.revision") == "" {
		return ""
	}
	changed := ""
	if stamp(info, "vcs.modified") == "true" {
		changed = ", and changes since"
	}
	return fmt.Sprintf("commit %s of %s%s\n", stamp(info, "vcs.revision"), stamp(info, "vcs.time"), changed)
}

// stamp returns one of Go's build settings.
func stamp(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// builtAt returns the commit's time; "" if Go did not stamp it.
func builtAt() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	return stamp(info, "vcs.time")
}
