package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/banyan-fig/banyan/infra/filelock"
)

// Files keeps objects as files.
type Files struct{ dir string }

// NewFiles keeps objects below dir, which the first Put makes.
func NewFiles(dir string) *Files { return &Files{dir} }

// String returns the path.
func (f *Files) String() string { return f.dir }

func (f *Files) path(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

// Put writes a file. Its bytes and its name are durable.
func (f *Files) Put(ctx context.Context, name string, data []byte) error {
	if !filepath.IsLocal(name) {
		return fmt.Errorf("write %s in %v: the name leads out of it", name, f)
	}
	if err := errors.Join(ctx.Err(), os.MkdirAll(filepath.Dir(f.path(name)), 0o750)); err != nil {
		return fmt.Errorf("write %s in %v: %w", name, f, err)
	}
	return filelock.Replace(f.path(name), data)
}

// Get reads a file.
func (f *Files) Get(_ context.Context, name string) ([]byte, error) {
	file, err := os.Open(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxObject+1))
	if err == nil && len(data) > maxObject {
		err = errTooLarge
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

// List lists files. It holds all names of the folder.
func (f *Files) List(_ context.Context, folder, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		entries, err := f.read(folder)
		if err != nil {
			yield("", err)
			return
		}
		for _, e := range entries {
			name := folder + e.Name()
			if !e.IsDir() && name > after && !yield(name, nil) {
				return
			}
		}
	}
}

// Folders lists folders.
func (f *Files) Folders(_ context.Context, folder string) ([]string, error) {
	entries, err := f.read(folder)
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name()+"/")
		}
	}
	return names, err
}

// read lists a folder; one that does not exist is empty. What a crash left of a file that
// was being written is no object.
func (f *Files) read(folder string) ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(f.path(folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", folder, err)
	}
	kept := entries[:0]
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".new") {
			kept = append(kept, e)
		}
	}
	return kept, nil
}
