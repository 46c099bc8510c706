package filelock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// Lock waits until no other process has the lock of the file at path, which is the file
// path.lock beside it, or ctx ends. The lock goes with unlock, or with the process.
func Lock(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		locked, err := Try(file)
		if err == nil && !locked {
			err = backoff.Sleep(ctx, 5*time.Millisecond)
		}
		if err != nil {
			_ = file.Close()
			return nil, fmt.Errorf("lock %s: %w", file.Name(), err)
		}
		if locked {
			return func() { _ = file.Close() }, nil
		}
	}
}

// Replace puts a new file in the place of path, with both the file and its name durable: a
// reader, or whoever comes after a crash, finds the old one or the new one, whole. It has the
// mode of the one before, or 0600. Of two processes at a time the last one wins; [Lock]
// prevents that.
func Replace(path string, src []byte) error {
	folder := filepath.Dir(path)
	temporary, err := os.CreateTemp(folder, filepath.Base(path)+".*.new")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // where it was not renamed
	if old, statErr := os.Stat(path); statErr == nil {
		err = temporary.Chmod(old.Mode().Perm())
	}
	if err == nil {
		_, err = temporary.Write(src)
	}
	if err == nil {
		err = temporary.Sync()
	}
	if err = errors.Join(err, temporary.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
