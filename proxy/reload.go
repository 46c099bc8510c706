package proxy

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Reloader activates the table of a file whenever the file changes.
type Reloader struct {
	Proxy *Proxy
	Path  string
	Every time.Duration // how often the file is checked; default 500 ms
	Log   *slog.Logger  // what was loaded or refused; default discards

	mu     sync.Mutex
	failed error // of the last attempt; nil when the active table is that of the file on disk
	seen   os.FileInfo
}

// Run checks the file until ctx ends.
func (r *Reloader) Run(ctx context.Context) {
	every := r.Every
	if every <= 0 {
		every = 500 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if r.hasChanged() {
				_ = r.Reload()
			}
		}
	}
}

// hasChanged reports whether the file's identity, size or time differ from the last check.
func (r *Reloader) hasChanged() bool {
	info, err := os.Stat(r.Path)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		return r.seen != nil || r.failed == nil
	}
	same := r.seen != nil && os.SameFile(r.seen, info) && r.seen.Size() == info.Size() && r.seen.ModTime().Equal(info.ModTime())
	return !same
}

// Reload reads the file now. A file that does not compile leaves the table
// unchanged; the error says what is wrong and where.
func (r *Reloader) Reload() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen, _ = os.Stat(r.Path)
	t, err := LoadFile(r.Path)
	log := r.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err != nil {
		if r.failed == nil || r.failed.Error() != err.Error() {
			log.Error("invalid route file, the previous routes stay in force", "error", err.Error())
		}
		r.failed = err
		return err
	}
	r.failed = nil
	if t.Digest != r.Proxy.Table().Digest {
		r.Proxy.Swap(t)
		log.Info("routes in force", "file", t.File, "digest", t.Digest, "routes", len(t.routes))
	}
	return nil
}

// Err returns why the file on disk is not active, nil when it is.
func (r *Reloader) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}
