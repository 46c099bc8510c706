package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/filelock"
)

const (
	maxHistory  = 50
	historyTime = "20060102T150405.000000Z"
	historyExt  = ".yaml"
)

// File is a route file on a disk. It is safe for concurrent use.
type File struct {
	path string

	mu   sync.Mutex
	last os.FileInfo // at the last look
}

// NewFile keeps the document at path. [File.Write] makes a lock beside it, path.lock, and the
// folder path.history.
func NewFile(path string) *File { return &File{path: path} }

// String returns the path.
func (f *File) String() string { return f.path }

// Read returns last unless the file has changed, and not since the look before: what is found
// in the midst of being written has lost the lines that are still to come, and may be valid
// all the same. Without last it returns the file as it is.
func (f *File) Read(_ context.Context, last *Document) (*Document, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	settled := isSame(f.last, info)
	f.last = info
	if err == nil && last != nil && (isSame(last.info, info) || !settled) {
		return last, nil
	}
	var src []byte
	if err == nil {
		src, err = os.ReadFile(f.path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", err, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read route file: %w", err)
	}
	return &Document{Content: src, info: info}, nil
}

// isSame reports whether two looks, nil for no file, found the same file in the same state.
func isSame(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// Write replaces the file where its content is still that of last, nil for no file, and keeps
// both in the history.
func (f *File) Write(ctx context.Context, last *Document, content []byte) (*Document, error) {
	path, err := filepath.EvalSymlinks(f.path) // a link stays, what it names is replaced
	if errors.Is(err, fs.ErrNotExist) {
		path, err = f.path, nil
	}
	var unlock func()
	if err == nil {
		unlock, err = filelock.Lock(ctx, path)
	}
	if err != nil {
		return nil, fmt.Errorf("change %s: %w", f.path, err)
	}
	defer unlock()
	found, err := f.Read(ctx, nil)
	if errors.Is(err, ErrNotFound) {
		found, err = nil, nil
	}
	if err == nil && ((found == nil) != (last == nil) || found != nil && !bytes.Equal(found.Content, last.Content)) {
		err = ErrConflict
	}
	if err == nil && found != nil {
		err = f.keep(found.Content)
	}
	if err == nil {
		err = filelock.Replace(path, content)
	}
	if err == nil {
		err = f.keep(content)
	}
	if err != nil {
		return nil, fmt.Errorf("change %s: %w", f.path, err)
	}
	return f.Read(ctx, nil)
}

func (f *File) folder() string { return f.path + ".history" }

// keep adds what is not the newest of the history already, and removes what is too old.
func (f *File) keep(content []byte) error {
	if err := os.MkdirAll(f.folder(), 0o755); err != nil {
		return err
	}
	ids, err := f.ids()
	if err != nil {
		return err
	}
	if len(ids) > 0 {
		if newest, err := os.ReadFile(f.kept(ids[0])); err == nil && bytes.Equal(newest, content) {
			return nil
		}
	}
	id := fmt.Sprintf("%s-%.8x", time.Now().UTC().Format(historyTime), sha256.Sum256(content))
	if err := filelock.Replace(f.kept(id), content); err != nil {
		return err
	}
	for _, old := range ids[min(len(ids), maxHistory-1):] {
		err = errors.Join(err, os.Remove(f.kept(old)))
	}
	return err
}

func (f *File) kept(id string) string { return filepath.Join(f.folder(), id+historyExt) }

// ids lists the history, the newest first.
func (f *File) ids() (ids []string, err error) {
	entries, err := os.ReadDir(f.folder())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range slices.Backward(entries) {
		if id, ok := strings.CutSuffix(e.Name(), historyExt); ok {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// History lists what was put in place, and replaced, by [File.Write], the newest first.
func (f *File) History(ctx context.Context) ([]Version, error) {
	ids, err := f.ids()
	if err != nil {
		return nil, fmt.Errorf("read the history of %s: %w", f.path, err)
	}
	now, err := f.Read(ctx, nil)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	var out []Version
	for i, id := range ids {
		content, err := os.ReadFile(f.kept(id))
		if err != nil {
			continue // it has become too old meanwhile
		}
		stamp, _, _ := strings.Cut(id, "-")
		at, _ := time.Parse(historyTime, stamp)
		out = append(out, Version{ID: id, At: at, Bytes: int64(len(content)), Current: i == 0 && now != nil && bytes.Equal(now.Content, content)})
	}
	return out, nil
}

// Version returns what the history has by that ID.
func (f *File) Version(_ context.Context, id string) ([]byte, error) {
	ids, err := f.ids()
	if err == nil && !slices.Contains(ids, id) {
		err = fmt.Errorf("version %q: %w", id, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read the history of %s: %w", f.path, err)
	}
	return os.ReadFile(f.kept(id))
}
