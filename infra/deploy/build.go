package deploy

import (
	"bytes"
	"cmp"
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
	"strings"
)

// Build says what to build. The zero value builds all functions of the module in the
// current folder.
type Build struct {
	// Dir is the folder in which Packages are found, anywhere in a Go module, of this
	// repository or any other. "": the current folder.
	Dir string
	// Out is where archives and manifest.json go. "": bin/dist in Dir.
	Out string
	// Packages are patterns as "go build" takes them, relative to Dir: ./functions/...
	// or ./cmd/profile. A pattern with ... means the functions that match it: programs
	// that import aws-lambda-go/lambda, but those below a folder named internal. A
	// package without ... is built whatever it imports. nil: ./...
	Packages []string
	// Architectures to build for. nil: arm64 and x86_64.
	Architectures []string
	// Tags are build tags besides lambda.norpc.
	Tags []string
	// Done is called with each archive once it is written. nil: nothing is called.
	Done func(Artifact)
	// Commit is noted in the manifest. "": what git says of Dir, with -dirty if
	// it was changed.
	Commit string
}

// Manifest lists what was built. It has no times: the same source, built by the
// same Go, makes the same bytes of everything, the manifest included.
type Manifest struct {
	Commit   string     `json:"commit"`
	Go       string     `json:"go"`
	Packages []Artifact `json:"packages"`
}

// Artifact is one archive.
type Artifact struct {
	// Name is that of the program, such as "profile": the last part of its import path.
	Name         string `json:"name"`
	Architecture string `json:"architecture"`
	// File is relative to the manifest.
	File string `json:"file"`
	Size int    `json:"size"`
	// SHA256 in hex is as sha256sum prints it, CodeSHA256 in base64 as Lambda does.
	SHA256     string `json:"sha256"`
	CodeSHA256 string `json:"codeSha256"`
}

// ManifestFile is the name of the manifest in [Build.Out].
const ManifestFile = "manifest.json"

// Run builds everything and writes the manifest last, so that one that is there
// is complete.
func (b Build) Run(ctx context.Context) (Manifest, error) {
	if err := b.setDefaults(ctx); err != nil {
		return Manifest{}, err
	}
	programs, err := b.programs(ctx)
	if err != nil {
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
		built, err := b.compile(ctx, programs, architecture)
		if err != nil {
			return m, err
		}
		m.Packages = append(m.Packages, built...)
	}
	return m, m.write(b.Out)
}

func (b *Build) setDefaults(ctx context.Context) error {
	b.Dir = cmp.Or(b.Dir, ".")
	b.Out = cmp.Or(b.Out, filepath.Join(b.Dir, "bin", "dist"))
	if len(b.Architectures) == 0 {
		b.Architectures = []string{ARM64, X8664}
	}
	for _, a := range b.Architectures {
		if goarch[a] == "" {
			return fmt.Errorf("architecture %q is neither %s nor %s", a, ARM64, X8664)
		}
	}
	if len(b.Packages) == 0 {
		b.Packages = []string{"./..."}
	}
	if b.Commit == "" {
		b.Commit, _ = b.output(ctx, "git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty") // without git there is none
	}
	return nil
}

var goarch = map[string]string{ARM64: "arm64", X8664: "amd64"}

// flags leave out of the binary what depends on where and when it is built: paths,
// the state of the repository, symbols.
func (b Build) flags() []string {
	return []string{"-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", b.tags()}
}

func (b Build) tags() string {
	return "-tags=" + strings.Join(append([]string{"lambda.norpc"}, b.Tags...), ",")
}

// goCommand is a command of go that looks at the sources as they are for Lambda.
func (b Build) goCommand(ctx context.Context, architecture string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = b.Dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goarch[architecture], "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=")
	return cmd
}

// compile builds all programs for one architecture and packs each.
func (b Build) compile(ctx context.Context, programs []program, architecture string) (built []Artifact, err error) {
	dir, err := os.MkdirTemp("", "banyan-build-")
	if err != nil {
		return nil, fmt.Errorf("build for %s: %w", architecture, err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	args := append(append([]string{"build"}, b.flags()...), "-o", dir+string(filepath.Separator))
	for _, p := range programs {
		args = append(args, p.ImportPath)
	}
	said, err := b.goCommand(ctx, architecture, args...).CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("build for %s: %w; nothing can be deployed from %s until it is built again", architecture, ErrInterrupted, b.Out)
	case err != nil:
		return nil, fmt.Errorf("build for %s: %w\n%s", architecture, err, said)
	}
	for _, p := range programs {
		executable, err := os.ReadFile(filepath.Join(dir, p.name()))
		if err != nil {
			return nil, fmt.Errorf("build %s: %w", p.ImportPath, err)
		}
		a, err := b.writeArchive(p.name(), architecture, executable)
		if err != nil {
			return nil, err
		}
		built = append(built, a)
		if b.Done != nil {
			b.Done(a)
		}
	}
	return built, nil
}

func (b Build) writeArchive(name, architecture string, executable []byte) (Artifact, error) {
	archive, err := Pack(executable)
	if err != nil {
		return Artifact{}, err
	}
	sum := sha256.Sum256(archive)
	a := Artifact{
		Name: name, Architecture: architecture, File: architecture + "/" + name + ".zip", Size: len(archive),
		SHA256: hex.EncodeToString(sum[:]), CodeSHA256: Digest(archive),
	}
	return a, write(filepath.Join(b.Out, filepath.FromSlash(a.File)), archive)
}

func (b Build) output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = b.Dir
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
