package deploy_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/infra/deploy"
)

// TestTheSameSourceMakesTheSameBytes: whoever builds it, wherever.
func TestTheSameSourceMakesTheSameBytes(t *testing.T) {
	t.Parallel()
	build := func() (deploy.Manifest, map[string][]byte) {
		root := t.TempDir()
		files := map[string]string{
			"go.mod":                             "module example.test/m\n\ngo 1.26\n",
			"consumers/social/cmd/alpha/main.go": "package main\n\nfunc main() { println(\"alpha\") }\n",
			"consumers/social/cmd/beta/main.go":  "package main\n\nfunc main() { println(\"beta\") }\n",
		}
		for name, text := range files {
			path := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		var told []deploy.Artifact
		m, err := deploy.Build{Root: root, Commit: "abc", Done: func(a deploy.Artifact) { told = append(told, a) }}.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(told, m.Packages) {
			t.Errorf("told was of %v", told)
		}
		all := map[string][]byte{}
		dist := filepath.Join(root, "bin", "dist")
		names := []string{deploy.ManifestFile}
		for _, a := range m.Packages {
			names = append(names, a.File)
		}
		for _, name := range names {
			if all[name], err = os.ReadFile(filepath.Join(dist, name)); err != nil {
				t.Fatal(err)
			}
		}
		if p, err := deploy.Load(dist, "prod-alpha", "", deploy.ARM64); err != nil || p.Architecture != deploy.ARM64 || p.Commit != "abc" || !bytes.Equal(p.Zip, all["arm64/alpha.zip"]) {
			t.Errorf("load: %v", err)
		}
		if _, err := deploy.Load(dist, "prod-gamma", "", deploy.ARM64); err == nil || !strings.Contains(err.Error(), "alpha, beta") {
			t.Errorf("load what is not there: %v", err)
		}
		if err := os.WriteFile(filepath.Join(dist, "arm64", "beta.zip"), []byte("changed"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := deploy.Load(dist, "beta", "", deploy.ARM64); err == nil {
			t.Error("a changed archive was taken")
		}
		return m, all
	}
	m, first := build()
	_, second := build()
	if len(m.Packages) != 4 || len(first) != 5 {
		t.Errorf("built were %+v", m.Packages)
	}
	for name := range first {
		if !bytes.Equal(first[name], second[name]) {
			t.Errorf("%s differs", name)
		}
	}
}

// TestBuildRefuses what would make an archive that no function can be.
func TestBuildRefuses(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.test/m\n\ngo 1.26\n", "library/library.go": "package library\n",
		"a/same/main.go": "package main\n\nfunc main() {}\n", "b/same/main.go": "package main\n\nfunc main() {}\n",
	} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		ctx      context.Context
		packages []string
		want     string
	}{
		{t.Context(), []string{"library"}, "package main"},
		{t.Context(), []string{"a/same", "b/same"}, "same name"},
		{t.Context(), []string{"missing"}, "missing"},
		{gone, []string{"a/same"}, "interrupted"},
	} {
		_, err := deploy.Build{Root: root, Packages: test.packages, Architectures: []string{deploy.ARM64}}.Run(test.ctx)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v, want %q", test.packages, err, test.want)
		}
	}
}

func TestSourcesAreThoseOfTheRepository(t *testing.T) {
	all, err := deploy.Sources(filepath.Join("..", ".."))
	if err != nil || !slices.Contains(all, "consumers/social/cmd/profile") || !slices.Contains(all, "publishers/cmd/outbox-relay") {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := deploy.Sources(t.TempDir()); err == nil {
		t.Error("there are functions in an empty folder")
	}
}
