package override

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/banyan-fig/banyan/infra/filelock"
)

// File is a store for the processes of one machine: a file of JSON, replaced as a whole.
// A file that it did not write, or only in part, it neither reads nor replaces: whoever
// put it there moves it away, and the overrides in force are written anew.
type File struct{ path string }

// NewFile keeps overrides under path, whose folder exists. Beside it there is a lock, path.lock.
func NewFile(path string) *File { return &File{path} }

// Load reads the file; one that does not exist is the zero State.
func (f *File) Load(context.Context) (State, error) {
	src, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("read overrides: %w", err)
	}
	s, err := decode(src)
	if err != nil {
		return State{}, fmt.Errorf("read overrides from %s: %w; move it away, and it is written anew", f.path, err)
	}
	return s, nil
}

// Save replaces the file under its lock, and returns when a crash of the machine cannot lose it.
func (f *File) Save(ctx context.Context, old int64, next State) error {
	src, err := encode(next)
	if err != nil {
		return err
	}
	unlock, err := filelock.Lock(ctx, f.path)
	if err != nil {
		return fmt.Errorf("save overrides: %w", err)
	}
	defer unlock()
	found, err := f.Load(ctx)
	if err != nil {
		return err
	}
	if found.Revision != old {
		return fmt.Errorf("save overrides from revision %d: %s is at %d: %w", old, f.path, found.Revision, ErrConflict)
	}
	if err := filelock.Replace(f.path, src); err != nil {
		return fmt.Errorf("save overrides: %w", err)
	}
	return nil
}
