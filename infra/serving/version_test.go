package serving

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestVersion(t *testing.T) {
	stamped := &debug.BuildInfo{
		Main:     debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}},
	}
	for _, c := range []struct {
		release, commit string
		info            *debug.BuildInfo
		want            string
	}{
		{"", "", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "development (commit unknown, "},
		{"", "", stamped, "v1.2.3 (commit abc, with uncommitted changes, "},
		{"v2.0.0", "def", &debug.BuildInfo{}, "v2.0.0 (commit def, "},
	} {
		if got := describe(c.release, c.commit, c.info); got != c.want+runtime.Version()+")" {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
