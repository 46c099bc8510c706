package livetable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Config says which pointer is followed. Client, Model and Default are required.
type Config struct {
	Client  GetAPI
	Control string // the control table; "": DefaultControl
	Model   string // name of the read model there
	Default string // the table where there is no pointer
	// Age bounds how old what is known of the pointer may be. It must not be longer than what a
	// switch waits for. 0: DefaultAge.
	Age time.Duration
	// Logger gets changes of the table, and each failure to read the pointer. nil: slog.Default().
	Logger *slog.Logger
	// Now is the clock. nil: time.Now.
	Now func() time.Time
}

// Follower knows the live table of a read model. Safe for concurrent use.
type Follower struct {
	cfg  Config
	lock chan struct{} // of what follows
	live Pointer
	// asked is when a reading of what is known began, zero before the first, tried that of the
	// last attempt.
	asked, tried time.Time
	failure      error // of the last attempt
}

// readTimeout bounds a reading, for which requests wait.
const readTimeout = 2 * time.Second

// pause is how long after a failure the pointer is read again, and requests wait for it.
const pause = time.Second

// Follow makes a follower. It reads nothing yet.
func Follow(cfg Config) (*Follower, error) {
	if cfg.Client == nil || cfg.Model == "" || cfg.Default == "" || cfg.Age < 0 {
		return nil, errors.New("livetable: Client, Model and Default are required, and Age must not be negative")
	}
	cfg.Control = cmp.Or(cfg.Control, DefaultControl)
	cfg.Age = cmp.Or(cfg.Age, DefaultAge)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Follower{cfg: cfg, lock: make(chan struct{}, 1)}, nil
}

type pinned struct{ of *Follower }

// Pin fixes the table for what is done with the context returned: several readings of one
// request do not see two tables.
func (f *Follower) Pin(ctx context.Context) (context.Context, error) {
	table, err := f.Table(ctx)
	if err != nil {
		return ctx, err
	}
	return context.WithValue(ctx, pinned{f}, table), nil
}

// Table returns the live table: the one that was pinned, or else as it was at most Age ago.
// Once it was known, only a pointer that cannot be read makes it older. It fails when the
// pointer could never be read, and with ctx.
func (f *Follower) Table(ctx context.Context) (string, error) {
	if table, ok := ctx.Value(pinned{f}).(string); ok {
		return table, nil
	}
	select {
	case f.lock <- struct{}{}:
		defer func() { <-f.lock }()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	now := f.cfg.Now()
	if f.asked.IsZero() || since(now, f.asked) >= f.cfg.Age {
		if f.failure == nil || since(now, f.tried) >= pause {
			f.readLocked(ctx, now)
		}
	}
	if f.asked.IsZero() {
		return "", f.failure
	}
	return f.live.Table, nil
}

// since is by the clock that went further: one of the two stands still in a frozen function.
func since(now, then time.Time) time.Duration {
	return max(now.Sub(then), now.Round(0).Sub(then.Round(0)))
}

// readLocked does not end with the request that happens to be the first.
func (f *Follower) readLocked(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	p, err := get(ctx, f.cfg.Client, f.cfg.Control, f.cfg.Model)
	if f.tried = now; err == nil && p.Epoch < f.live.Epoch {
		err = fmt.Errorf("the pointer of the read model %q has epoch %d after %d: it was deleted or restored, and must be set again",
			f.cfg.Model, p.Epoch, f.live.Epoch)
	}
	if f.failure = err; err != nil {
		f.cfg.Logger.WarnContext(ctx, "the pointer to the live table cannot be read, the last known table stays in use",
			"model", f.cfg.Model, "table", f.live.Table, "read_last", f.asked, "error", err.Error())
		return
	}
	p.Table = cmp.Or(p.Table, f.cfg.Default)
	if p.Table != f.live.Table {
		f.cfg.Logger.InfoContext(ctx, "reading from another table", "model", f.cfg.Model, "table", p.Table, "before", f.live.Table, "epoch", p.Epoch)
	}
	f.live, f.asked = p, now
}
