// Package functiontest runs the functions of this module in tests as they are
// deployed: built, packed, created by Lambda's API in a sandbox, and behind an HTTP
// API where they serve one.
//
// A package that uses [Build] has [Main] as its TestMain.
package functiontest

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/sandbox/httpapi"
	"github.com/banyan-fig/banyan/infra/sandbox/lambda"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

// Main runs the tests, looks for goroutines that they left, and removes what was
// built.
func Main(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := builds.remove(); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}))
}

// builds are the executables of this process, by package.
var builds = &binaries{paths: map[string]string{}}

type binaries struct {
	mu    sync.Mutex
	dir   string
	paths map[string]string
}

func (b *binaries) build(pkg string) (path string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if path := b.paths[pkg]; path != "" {
		return path, nil
	}
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp("", "banyan-functions-"); err != nil {
			return "", err
		}
	}
	path = filepath.Join(b.dir, fmt.Sprint(len(b.paths)))
	out, err := exec.Command("go", "build", "-tags=lambda.norpc", "-ldflags=-s -w", "-o", path, pkg).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	b.paths[pkg] = path
	return path, nil
}

func (b *binaries) remove() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dir == "" {
		return nil
	}
	return os.RemoveAll(b.dir)
}

// Build builds the main package at an import path, or a path relative to the
// test's package, once for all tests, and returns the executable.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	path, err := builds.build(pkg)
	must(t, err)
	return path
}

// Whole is the archive of an executable as it would be deployed.
func Whole(t testing.TB, executable string) []byte {
	t.Helper()
	content, err := os.ReadFile(executable)
	must(t, err)
	return archive(t, content)
}

// Small is an archive whose bootstrap becomes the executable: uploading megabytes
// takes its time under the race detector.
func Small(t testing.TB, executable string) []byte {
	t.Helper()
	return archive(t, []byte("#!/bin/sh\nexec "+executable+"\n"))
}

func archive(t testing.TB, bootstrap []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	header := &zip.FileHeader{Name: "bootstrap"} // not compressed
	header.SetMode(0o755)
	f, err := z.CreateHeader(header)
	if err == nil {
		_, err = f.Write(bootstrap)
	}
	must(t, errors.Join(err, z.Close()))
	return b.Bytes()
}

// Host is a Lambda of the test's own.
type Host struct {
	*lambda.Host
	URL    string
	Client *awslambda.Client
}

// Start starts a Lambda with clients that options configure. It ends with the test.
func Start(t testing.TB, cfg lambda.Config, options ...func(*awslambda.Options)) Host {
	t.Helper()
	cfg.Dir = t.TempDir()
	host, err := lambda.New(cfg)
	must(t, err)
	server := httptest.NewServer(host)
	t.Cleanup(func() {
		server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := host.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	client := awslambda.NewFromConfig(sandboxtest.Config(t, server.URL), options...)
	return Host{host, server.URL, client}
}

// Deploy creates a function with a timeout of ten seconds.
func Deploy(t testing.TB, client *awslambda.Client, name string, code []byte, env map[string]string) {
	t.Helper()
	_, err := client.CreateFunction(t.Context(), &awslambda.CreateFunctionInput{
		FunctionName: &name, Role: aws.String("arn:aws:iam::000000000000:role/function"), Handler: aws.String("bootstrap"),
		Runtime: types.RuntimeProvidedal2023, Timeout: aws.Int32(60), Code: &types.FunctionCode{ZipFile: code},
		Environment: &types.Environment{Variables: env},
	})
	must(t, err)
}

// Serve puts an HTTP API before a function and returns its URL.
func Serve(t testing.TB, cfg httpapi.Config) string {
	t.Helper()
	api, err := httpapi.New(cfg)
	must(t, err)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	return server.URL
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
