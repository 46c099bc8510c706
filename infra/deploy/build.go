package deploy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Build says what to build. Root is needed; the rest has defaults.
type Build struct {
	// Root is the folder of the Go module.
	Root string
	// Out is where archives and manifest.json go. "": bin/dist in Root.
	Out string
	// Packages of the functions, as folders relative to Root. nil: all that there
	// are, see [Sources].
	Packages []string
	// Architectures to build for. nil: arm64 and x86_64.
	Architectures []string
	// Done is told of each archive once it is written. nil: nobody.
	Done func(Artifact)
	// Commit is noted in the manifest. "": what git says of Root, with -dirty if
	// it was changed.
	Commit string
}

// Manifest tells what was built. It has no times: the same source, built by the
// same Go, makes the same bytes of everything, the manifest included.
type Manifest struct {
	Commit   string     `json:"commit"`
	Go       string     `json:"go"`
	Packages []Artifact `json:"packages"`
}

// Artifact is one archive.
type Artifact struct {
	// Name is that of the function's folder, such as "profile".
	Name         string `json:"name"`
	Architecture string `json:"architecture"`
	// File is relative to the manifest.
	File string `json:"file"`
	Size int    `json:"size"`
	// SHA256 in hex is as sha256sum tells it, CodeSHA256 in base64 as Lambda does.
	SHA256     string `json:"sha256"`
	CodeSHA256 string `json:"codeSha256"`
}

// ManifestFile is the name of the manifest in [Build.Out].
const ManifestFile = "manifest.json"

// sources are the folders in which functions are.
var sources = []string{"consumers/social/cmd/*", "publishers/cmd/outbox-relay", "services/*/cmd/*-api", "infra/ops/*/cmd/*"}

// Sources lists the folders of all functions below a module's root.
func Sources(root string) ([]string, error) {
	var all []string
	for _, pattern := range sources {
		found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil {
			return nil, fmt.Errorf("look for functions: %w", err)
		}
		for _, path := range found {
			relative, err := filepath.Rel(root, path)
			if err != nil {
				return nil, fmt.Errorf("look for functions: %w", err)
			}
			all = append(all, filepath.ToSlash(relative))
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("there are no functions below %s: is it the root of the module?", root)
	}
	return all, nil
}

// Run builds everything and writes the manifest last, so that one that is there
// is complete.
func (b Build) Run(ctx context.Context) (Manifest, error) {
	if err := b.complete(ctx); err != nil {
		return Manifest{}, err
	}
	m := Manifest{Commit: b.Commit, Go: runtime.Version()}
	if version, err := b.output(ctx, "go", "env", "GOVERSION"); err == nil {
		m.Go = version
	}
	if err := os.Remove(filepath.Join(b.Out, ManifestFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return m, fmt.Errorf("remove the old manifest: %w", err)
	}
	for _, architecture := range b.Architectures {
		for _, source := range b.Packages {
			a, err := b.one(ctx, source, architecture)
			if err != nil {
				return m, err
			}
			m.Packages = append(m.Packages, a)
			if b.Done != nil {
				b.Done(a)
			}
		}
	}
	return m, m.write(b.Out)
}

func (b *Build) complete(ctx context.Context) (err error) {
	if b.Out == "" {
		b.Out = filepath.Join(b.Root, "bin", "dist")
	}
	if len(b.Architectures) == 0 {
		b.Architectures = []string{ARM64, X8664}
	}
	for _, a := range b.Architectures {
		if goarch[a] == "" {
			return fmt.Errorf("architecture %q is neither %s nor %s", a, ARM64, X8664)
		}
	}
	if len(b.Packages) == 0 {
		if b.Packages, err = Sources(b.Root); err != nil {
			return err
		}
	}
	slices.Sort(b.Packages)
	b.Packages = slices.Compact(b.Packages)
	names := map[string]string{}
	for _, source := range b.Packages {
		name := filepath.Base(source)
		if other := names[name]; other != "" {
			return fmt.Errorf("build %s: %s has the same name: an archive has that of its function's folder", source, other)
		}
		names[name] = source
	}
	if b.Commit == "" {
		b.Commit, _ = b.output(ctx, "git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty") // without git there is none
	}
	return nil
}

var goarch = map[string]string{ARM64: "arm64", X8664: "amd64"}

// flags leave out of the binary what depends on where and when it is built: paths,
// the state of the repository, symbols.
var flags = []string{"-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-tags=lambda.norpc"}

// elf begins executables of Linux; what is built of a library does not.
const elf = "\x7fELF"

// one builds a function and packs it.
func (b Build) one(ctx context.Context, source, architecture string) (Artifact, error) {
	dir, err := os.MkdirTemp("", "banyan-build-")
	if err != nil {
		return Artifact{}, fmt.Errorf("build %s: %w", source, err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary := filepath.Join(dir, "bootstrap")
	args := append(append([]string{"build"}, flags...), "-o", binary, "./"+source)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = b.Root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goarch[architecture], "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off")
	said, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return Artifact{}, fmt.Errorf("build %s for %s: %w; nothing can be deployed from %s until it is built again", source, architecture, ErrInterrupted, b.Out)
	case err != nil:
		return Artifact{}, fmt.Errorf("build %s for %s: %w\n%s", source, architecture, err, said)
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return Artifact{}, fmt.Errorf("build %s: %w", source, err)
	}
	if !bytes.HasPrefix(content, []byte(elf)) {
		return Artifact{}, fmt.Errorf("build %s: it is no program (package main), so it cannot be a function", source)
	}
	return b.keep(source, architecture, content)
}

func (b Build) keep(source, architecture string, executable []byte) (Artifact, error) {
	archive, err := Pack(executable)
	if err != nil {
		return Artifact{}, err
	}
	sum := sha256.Sum256(archive)
	name := filepath.Base(source)
	a := Artifact{
		Name: name, Architecture: architecture, File: architecture + "/" + name + ".zip", Size: len(archive),
		SHA256: hex.EncodeToString(sum[:]), CodeSHA256: Digest(archive),
	}
	return a, write(filepath.Join(b.Out, filepath.FromSlash(a.File)), archive)
}

func (b Build) output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = b.Root
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

func (m Manifest) write(dir string) error {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetIndent("", "  ")
	if err := e.Encode(m); err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	return write(filepath.Join(dir, ManifestFile), out.Bytes())
}

// write replaces a file as a whole.
func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.WriteFile(path+".new", content, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
