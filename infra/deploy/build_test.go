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

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/banyan-fig/banyan/infra/deploy"
)

// module writes a Go module's files, by their names, into a new folder.
func module(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const plainModule = "module example.test/m\n\ngo 1.26\n"

// TestTheSameSourceMakesTheSameBytes: whoever builds it, wherever.
func TestTheSameSourceMakesTheSameBytes(t *testing.T) {
	t.Parallel()
	build := func() (deploy.Manifest, map[string][]byte) {
		root := module(t, map[string]string{
			"go.mod":        plainModule,
			"alpha/main.go": "package main\n\nfunc main() { println(\"alpha\") }\n",
			"beta/main.go":  "package main\n\nfunc main() { println(\"beta\") }\n",
		})
		var done []deploy.Artifact
		m, err := deploy.Build{
			Dir:      root,
			Packages: []string{"./alpha", "./beta"},
			Commit:   "abc",
			Done:     func(a deploy.Artifact) { done = append(done, a) },
		}.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(done, m.Packages) {
			t.Errorf("Done was called with %v", done)
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
		if p, err := deploy.Load(dist, "prod-alpha", "", deploy.ARM64); err != nil || p.Architecture != deploy.ARM64 || p.Commit != "abc" ||
			!bytes.Equal(p.Zip, all["arm64/alpha.zip"]) {
			t.Errorf("load: %v", err)
		}
		if _, err := deploy.Load(dist, "prod-gamma", "", deploy.ARM64); err == nil || !strings.Contains(err.Error(), "alpha, beta") {
			t.Errorf("load what is not there: %v", err)
		}
		if err := os.WriteFile(filepath.Join(dist, "arm64", "beta.zip"), []byte("changed"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := deploy.Load(dist, "beta", "", deploy.ARM64); err == nil {
			t.Error("a changed archive was loaded")
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
	root := module(t, map[string]string{
		"go.mod": plainModule, "library/library.go": "package library\n", "broken/main.go": "package main\n\nfunc main() { nonsense }\n",
		"a/same/main.go": "package main\n\nfunc main() {}\n", "b/same/main.go": "package main\n\nfunc main() {}\n",
	})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		ctx      context.Context
		packages []string
		want     string
	}{
		{t.Context(), []string{"./library"}, "package main"},
		{t.Context(), []string{"./a/same", "./b/same"}, "same name"},
		{t.Context(), []string{"./missing"}, "missing"},
		{t.Context(), []string{"./a/same/main.go"}, "name the folder of its package, such as ./a/same"},
		{t.Context(), []string{"./broken"}, "nonsense"},
		{t.Context(), nil, "no function matches ./..."},
		{gone, []string{"./a/same"}, "interrupted"},
	} {
		_, err := deploy.Build{Dir: root, Packages: test.packages, Architectures: []string{deploy.ARM64}}.Run(test.ctx)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v, want %q", test.packages, err, test.want)
		}
	}
}

// TestAModuleOutsideIsBuilt: an adopter's module, which uses this one. Of what its
// pattern matches only the function is built, and the archive runs on Lambda.
func TestAModuleOutsideIsBuilt(t *testing.T) {
	t.Parallel()
	root := module(t, map[string]string{
		"go.mod": adoptersModule(t), "go.sum": read(t, "../../go.sum"),
		"functions/orders/v2/main.go":   read(t, "testdata/orders/main.go"),
		"functions/internal/it/main.go": read(t, "testdata/orders/main.go"),
		"functions/tool/main.go":        "package main\n\nfunc main() {}\n",
		"functions/shared/shared.go":    "package shared\n",
	})
	out := t.TempDir()
	m, err := deploy.Build{Dir: root, Out: out, Packages: []string{"./functions/..."}, Architectures: []string{here}}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Packages) != 1 || m.Packages[0].Name != "orders" {
		t.Fatalf("built %+v", m.Packages)
	}
	p, err := deploy.Load(out, function, "orders", here)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, nil)
	w.provide(p)
	reply, err := w.lambda.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String(function), Payload: []byte(`{"order":"o-1"}`)})
	if err != nil || reply.FunctionError != nil || string(reply.Payload) != `"o-1 in 1s"` {
		t.Errorf("%s, %v", reply.Payload, err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// adoptersModule is a module below somebody's internal, which requires this module as it is here, and what that requires.
func adoptersModule(t *testing.T) string {
	t.Helper()
	checkout, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	own := "github.com/banyan-fig/banyan"
	text := strings.Replace(read(t, "../../go.mod"), "module "+own, "module example.test/internal/shop", 1)
	return text + "\nrequire " + own + " v0.0.0\n\nreplace " + own + " => " + checkout + "\n"
}
