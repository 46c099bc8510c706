package legacydb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/config"
)

// URI is where the address comes from and how its changes are learnt, normally a
// *config.Setting.
type URI interface {
	// Fixed tells that it never changes.
	Fixed() bool
	// Get returns the URI in force.
	Get(ctx context.Context) (config.Secret, error)
	// Refresh reads it anew, whatever its age.
	Refresh(ctx context.Context) (config.Secret, error)
	// Changed is sent to after it changed.
	Changed() <-chan struct{}
}

// FollowConfig configures Follow. The zero value works.
type FollowConfig struct {
	// Drain is how long connections of the former URI stay usable, and then how
	// long those in use may take to end. Default 30 s.
	Drain time.Duration
	// Patience is how long an operation waits for new credentials when the server
	// refuses those it has; the operation's own deadline counts too. Default 5 s.
	Patience time.Duration
	// Retry is the pause after a new URI did not work. Default 2 s.
	Retry time.Duration
	// Log gets what changed and what went wrong, never a URI. Default slog.Default.
	Log *slog.Logger
}

func (c FollowConfig) withDefaults() FollowConfig {
	if c.Drain <= 0 {
		c.Drain = 30 * time.Second
	}
	if c.Patience <= 0 {
		c.Patience = 5 * time.Second
	}
	if c.Retry <= 0 {
		c.Retry = 2 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

// Follow is Open for a URI that may change while the program runs: a new one is
// tried first, and taken if a server answers and lets it in; else the old one stays
// in force, and it is tried again. A server that refuses the credentials has the URI
// read anew at once, and the operation that met this waits for the new one.
//
// Disconnect the database's Client at the end, which ends the following too.
func Follow(ctx context.Context, uri URI, cfg FollowConfig) (*mongo.Database, error) {
	first, err := uri.Get(ctx)
	if err != nil {
		return nil, err
	}
	if uri.Fixed() {
		return Open(ctx, first.Reveal())
	}
	parsed, err := parse(first.Reveal())
	if err != nil {
		return nil, err
	}
	f := &follower{uri: uri, cfg: cfg.withDefaults(), database: databaseOf(parsed), used: first, refused: make(chan struct{}, 1)}
	begin, err := dial(ctx, first.Reveal())
	if err != nil {
		return nil, err
	}
	f.deployment = newDeployment(begin, f.cfg.Patience, f.hurry)
	opts := options.Client().ApplyURI(first.Reveal()).SetMonitor(&event.CommandMonitor{Failed: f.failed})
	//lint:ignore SA1019 see the package comment: there is no other way below one client
	opts.Deployment = f.deployment
	client, err := mongo.Connect(opts)
	if err != nil {
		begin.close(0)
		return nil, fmt.Errorf("connect to MongoDB: %w", err)
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	f.deployment.end = func(ctx context.Context) { stop(); f.wait(ctx) }
	f.running.Go(func() { f.run(run) })
	return client.Database(f.database), nil
}

// follower brings new URIs into force, in one goroutine.
type follower struct {
	uri        URI
	cfg        FollowConfig
	database   string
	deployment *deployment
	refused    chan struct{} // the server refused the credentials
	running    sync.WaitGroup

	used    config.Secret // the goroutine's own
	retires context.CancelFunc
}

// wait waits for the goroutines, whose own end is bounded by Drain.
func (f *follower) wait(ctx context.Context) {
	done := make(chan struct{})
	go func() { f.running.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// hurry asks for the URI to be read anew, now.
func (f *follower) hurry() {
	select {
	case f.refused <- struct{}{}:
	default:
	}
}

// failed sees every command that failed: a user who was dropped or lost a role
// keeps his connections, on which commands are then refused.
func (f *follower) failed(_ context.Context, e *event.CommandFailedEvent) {
	if unauthorized(e.Failure) {
		f.hurry()
	}
}

func (f *follower) run(ctx context.Context) {
	retry := time.NewTimer(0)
	retry.Stop()
	defer retry.Stop()
	defer func() {
		if f.retires != nil {
			f.retires()
		}
	}()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-f.uri.Changed():
			_, err = f.adopt(ctx, f.uri.Get)
		case <-retry.C:
			_, err = f.adopt(ctx, f.uri.Get)
		case <-f.refused:
			err = f.renew(ctx)
		}
		if err != nil && ctx.Err() == nil {
			f.cfg.Log.WarnContext(ctx, "the new URI of MongoDB is not used (yet), the one before stays in force", "error", err.Error())
			retry.Reset(f.cfg.Retry)
		}
	}
}

// renew reads the URI until there is one that works, as long as operations wait.
func (f *follower) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Patience)
	defer cancel()
	f.cfg.Log.WarnContext(ctx, "MongoDB refuses the credentials; they are read anew")
	for {
		changed, err := f.adopt(ctx, f.uri.Refresh)
		if changed {
			return nil
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = errors.New("MongoDB refuses the credentials, and there are no others; correct the value of MONGODB_URI, or the user's password")
			}
			return err
		case <-time.After(min(f.cfg.Retry, f.cfg.Patience/10)):
		}
	}
}

// adopt brings the URI into force if it is another one than that in use.
func (f *follower) adopt(ctx context.Context, read func(context.Context) (config.Secret, error)) (changed bool, err error) {
	uri, err := read(ctx)
	if err != nil || uri == f.used {
		return false, err
	}
	parsed, err := parse(uri.Reveal())
	if err != nil {
		return false, err
	}
	if name := databaseOf(parsed); name != f.database {
		return false, fmt.Errorf("the new MONGODB_URI names the database %s instead of %s: restart the program if that is meant", name, f.database)
	}
	next, err := dial(ctx, uri.Reveal())
	if err != nil {
		return false, err
	}
	f.used = uri
	f.retire(f.deployment.swap(next))
	f.cfg.Log.InfoContext(ctx, "the URI of MongoDB changed: new operations use it", "hosts", parsed.Hosts, "old_ones_end_in", f.cfg.Drain.String())
	return true, nil
}

// retire closes what was in force, after a while. What was retired before has had
// its while when the next is.
func (f *follower) retire(old *generation) {
	if f.retires != nil {
		f.retires()
	}
	grace, cancel := context.WithTimeout(context.Background(), f.cfg.Drain)
	f.retires = cancel
	f.running.Go(func() {
		<-grace.Done()
		cancel()
		old.close(f.cfg.Drain)
	})
}
