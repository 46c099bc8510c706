package mongoclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/config"
)

// URI is the source of the URI, which reports its changes; normally a
// *config.Setting.
type URI interface {
	// Fixed reports that it never changes.
	Fixed() bool
	// Get returns the current URI.
	Get(ctx context.Context) (config.Secret, error)
	// Refresh reads it again, whatever its age.
	Refresh(ctx context.Context) (config.Secret, error)
	// Changed receives a value after a change.
	Changed() <-chan struct{}
}

// FollowConfig configures Follow. The zero value works.
type FollowConfig struct {
	// Drain is how long operations on the former URI may still run. Default 30 s.
	Drain time.Duration
	// Patience is how long an operation waits for new credentials when the server
	// refuses those it has; the operation's own deadline counts too. Default 5 s.
	Patience time.Duration
	// Retry is the pause after a new URI did not work. Default 2 s.
	Retry time.Duration
	// Log gets changes and failures, never a URI. Default slog.Default.
	Log *slog.Logger
}

func (c FollowConfig) withDefaults() FollowConfig {
	c.Drain = cmp.Or(max(c.Drain, 0), 30*time.Second)
	c.Patience = cmp.Or(max(c.Patience, 0), 5*time.Second)
	c.Retry = cmp.Or(max(c.Retry, 0), 2*time.Second)
	c.Log = cmp.Or(c.Log, slog.Default())
	return c
}

// Follow is Open for a URI that may change while the program runs: a new one is
// tried first, and adopted if a server responds and accepts its credentials; else the old one stays
// in use, and the new one is tried again. When a server refuses the credentials, the URI is
// read again at once, and the refused operation waits for the new one.
func Follow(ctx context.Context, uri URI, cfg FollowConfig) (*Database, error) {
	first, err := uri.Get(ctx)
	if err != nil {
		return nil, err
	}
	d, err := Open(ctx, first.Reveal())
	if err != nil || uri.Fixed() {
		return d, err
	}
	f := &follower{uri: uri, cfg: cfg.withDefaults(), database: d, used: first, now: d.now}
	f.life, f.stop = context.WithCancel(context.WithoutCancel(ctx))
	d.follow = f
	f.running.Go(f.run)
	return d, nil
}

// follower adopts new URIs, in one goroutine.
type follower struct {
	uri      URI
	cfg      FollowConfig
	database *Database
	life     context.Context
	stop     context.CancelFunc
	running  sync.WaitGroup

	used config.Secret // only the goroutine uses it; now was made from it
	now  *generation
}

// stopAndWait ends the goroutines and waits for them, until ctx ends.
func (f *follower) stopAndWait(ctx context.Context) {
	f.stop()
	done := make(chan struct{})
	go func() { defer close(done); f.running.Wait() }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

func (f *follower) run() {
	ctx := f.life
	retry := time.NewTimer(0)
	retry.Stop()
	defer retry.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-f.uri.Changed():
			_, err = f.adopt(ctx, f.uri.Get)
		case <-retry.C:
			_, err = f.adopt(ctx, f.uri.Get)
		case <-f.now.refused:
			err = f.renewCredentials(ctx)
		}
		if err != nil && ctx.Err() == nil {
			f.cfg.Log.WarnContext(ctx, "the new MongoDB URI does not work yet; the former one stays in use", "error", err.Error())
			retry.Reset(f.cfg.Retry)
		}
	}
}

// renewCredentials reads the URI until a new one works, at most for as long as operations wait.
func (f *follower) renewCredentials(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Patience)
	defer cancel()
	f.cfg.Log.WarnContext(ctx, "MongoDB refuses the credentials; reading them again")
	for {
		changed, err := f.adopt(ctx, f.uri.Refresh)
		if changed {
			return nil
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = errors.New("MongoDB refuses the credentials, and there are no new ones; correct the value of MONGODB_URI, or the user's password or roles")
			}
			return err
		case <-time.After(min(f.cfg.Retry, f.cfg.Patience/10)):
		}
	}
}

// adopt connects to the URI and makes it the current one, if it differs from that in use.
func (f *follower) adopt(ctx context.Context, read func(context.Context) (config.Secret, error)) (changed bool, err error) {
	uri, err := read(ctx)
	if err != nil || uri == f.used {
		return false, err
	}
	to, err := parse(uri.Reveal())
	if err != nil {
		return false, err
	}
	if name := f.database.Name(); to.database != name {
		return false, fmt.Errorf("the new MONGODB_URI names the database %s instead of %s: restart the program if that is intended", to.database, name)
	}
	next, err := to.dial(ctx)
	if err != nil {
		return false, err
	}
	f.used, f.now = uri, next
	old, ok := f.database.swap(next)
	if !ok {
		return false, next.disconnect(ctx)
	}
	f.running.Go(func() { f.retire(old) })
	f.cfg.Log.InfoContext(ctx, "the MongoDB URI changed: new operations use it", "hosts", to.options.Hosts, "drain", f.cfg.Drain.String())
	return true, nil
}

func (f *follower) retire(old *generation) {
	grace, cancel := context.WithTimeout(f.life, f.cfg.Drain)
	defer cancel()
	old.retire(grace)
	f.cfg.Log.InfoContext(grace, "the former MongoDB URI is no longer used here: what it logs in with can go when all programs say so")
}
