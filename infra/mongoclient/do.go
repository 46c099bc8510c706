package mongoclient

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// retryFor is how long Do retries, from the first failure on: as long as the driver
// selects a server by default.
const retryFor = 30 * time.Second

var delays = backoff.Backoff{Min: 5 * time.Millisecond, Max: 320 * time.Millisecond}

// Do runs an operation, which must end soon and be safe to run more than once: it is
// retried while its error is transient, or once there are new credentials in place of
// refused ones, within ctx and 30 s from its first failure. Variables that it sets, it must set
// again in each run. The error is that of the last attempt.
//
// The driver itself retries for as long as ctx allows if ctx has a deadline,
// else once.
func (d *Database) Do(ctx context.Context, op func(context.Context, *mongo.Database) error) error {
	var began time.Time
	for attempt := 0; ; attempt++ {
		g, err := d.acquire()
		if err != nil {
			return err
		}
		err = g.run(ctx, g.ended, op)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if began.IsZero() {
			began = time.Now()
		}
		if !d.canRetry(ctx, g, err) || time.Since(began) > retryFor || delays.Wait(ctx, attempt) != nil {
			return err
		}
	}
}

// canRetry reports whether an operation that failed on g may succeed now.
func (d *Database) canRetry(ctx context.Context, g *generation, err error) bool {
	switch {
	case g.ended.Err() != nil: // ended because there is a next generation
		return true
	case isUnauthorized(err):
		return d.awaitCredentials(ctx, g)
	}
	return isTransient(err)
}

// awaitCredentials waits for credentials other than those of g.
func (d *Database) awaitCredentials(ctx context.Context, g *generation) bool {
	if d.follow == nil {
		return false
	}
	g.requestCredentials()
	patience := time.NewTimer(d.follow.cfg.Patience)
	defer patience.Stop()
	select {
	case <-g.over.Done():
		return true
	case <-patience.C:
	case <-ctx.Done():
	}
	return false
}

// Run runs a long-running loop. When the URI changed, the loop's context ends; it must
// return within Drain, and is started again, whatever it returned. It is also started
// again where its credentials were refused, once there are others. Otherwise Run returns
// what the loop returned.
func (d *Database) Run(ctx context.Context, loop func(context.Context, *mongo.Database) error) error {
	for {
		g, err := d.acquire()
		if err != nil {
			return err
		}
		err = g.run(ctx, g.over, loop)
		switch {
		case ctx.Err() != nil:
			return err
		case g.over.Err() != nil:
		case !isUnauthorized(err) || !d.awaitCredentials(ctx, g):
			return err
		}
	}
}
