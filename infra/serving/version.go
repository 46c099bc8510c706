package serving

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// release and commit are set by the linker where a build knows them and Go does not:
// -ldflags "-X github.com/banyan-fig/banyan/infra/serving.commit=...".
var release, commit string

// Version is the version of the running program for a person: the release, the
// commit, and the Go version it was built with.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return describe(release, commit, info)
}

// describe prefers what the linker was told, and takes the rest from Go's own stamp.
func describe(release, commit string, info *debug.BuildInfo) string {
	if release == "" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		release = info.Main.Version
	}
	changed := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && commit == "":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = ", with uncommitted changes"
		}
	}
	if release == "" {
		release = "development"
	}
	if commit == "" {
		commit = "unknown"
	}
	return fmt.Sprintf("%s (commit %s%s, %s)", release, commit, changed, runtime.Version())
}
