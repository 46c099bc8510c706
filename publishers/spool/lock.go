package spool

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/filelock"
)

// lock is the file beside the spool that one process at a time can lock. It names that
// process. The file stays when the process ends; only the lock on it ends.
type lock struct{ f *os.File }

func lockPath(path string) string { return path + ".lock" }

// acquireLock waits for the lock until patience or ctx ends.
func acquireLock(ctx context.Context, path string, patience time.Duration) (*lock, error) {
	f, err := os.OpenFile(lockPath(path), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the lock beside it: %w%s", err, directoryAdvice(path, err))
	}
	for deadline := time.Now().Add(patience); ; {
		got, err := filelock.Try(f)
		if got {
			return writeHolder(f)
		}
		if err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		if time.Now().After(deadline) || backoff.Sleep(ctx, 20*time.Millisecond) != nil {
			defer f.Close()
			return nil, fmt.Errorf("%w by %s: end that process, or give this one a file of its own (inspect works at any time)", ErrLocked, readHolder(f))
		}
	}
}

func directoryAdvice(path string, err error) string {
	if os.IsNotExist(err) {
		return fmt.Sprintf(": create the directory %s, or mount what belongs there", filepath.Dir(path))
	}
	return ""
}

func writeHolder(f *os.File) (*lock, error) {
	host, _ := os.Hostname()
	text := fmt.Sprintf("process %d (%s) on %s since %s\n", os.Getpid(), filepath.Base(os.Args[0]), host, time.Now().UTC().Format(time.RFC3339))
	if err := f.Truncate(0); err != nil {
		_ = f.Close()
		return nil, err
	}
	_, err := f.WriteAt([]byte(text), 0)
	if err != nil && !noSpace(err) { // a full disk must not keep the spool from opening
		_ = f.Close()
		return nil, err
	}
	return &lock{f}, nil
}

// readHolder returns the text that the holder of the lock left in its file, for messages.
func readHolder(f *os.File) string {
	b, _ := io.ReadAll(io.NewSectionReader(f, 0, 4096))
	if text := strings.TrimSpace(string(b)); text != "" {
		return text
	}
	return "a process that has not left its name"
}

// holder names the process that has the spool at path open, "" if none.
func holder(path string) string {
	f, err := os.Open(lockPath(path))
	if err != nil {
		return ""
	}
	defer f.Close()
	if got, err := filelock.Try(f); got || err != nil {
		return ""
	}
	return readHolder(f)
}

func (l *lock) release() {
	_ = l.f.Truncate(0)
	_ = l.f.Close()
}
