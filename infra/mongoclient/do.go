package mongoclient

import (
	"context"
	"math/rand/v2"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// longest is for how long Do repeats what fails, from its first failure on: as long
// as the driver looks for a server unless it is told otherwise.
const longest = 30 * time.Second

// Do runs an operation, which must end soon and bear being run more than once: it is
// run again while its error is one that passes, or once there are new credentials
// in place of refused ones, within ctx and 30 s from its first failure. What it
// sets, it must set anew each time. The error is that of the last time.
//
// The driver repeats what it can for as long as ctx allows if ctx has a deadline,
// else once.
func (d *Database) Do(ctx context.Context, op func(context.Context, *mongo.Database) error) error {
	var began time.Time
	for attempt := 0; ; attempt++ {
		g, err := d.enter()
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
		if !d.again(ctx, g, err) || time.Since(began) > longest || !pause(ctx, attempt) {
			return err
		}
	}
}

// again tells whether an operation that failed on g may fare better now.
func (d *Database) again(ctx context.Context, g *generation, err error) bool {
	switch {
	case g.ended.Err() != nil: // it was ended because there is a next one
		return true
	case refused(err):
		return d.renewed(ctx, g)
	}
	return passes(err)
}

// renewed waits for other credentials than those of g.
func (d *Database) renewed(ctx context.Context, g *generation) bool {
	if d.follow == nil {
		return false
	}
	g.hurry()
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

// Run runs what goes on for long. When the URI changed its context ends; it must then
// return, within Drain, and is run anew, whatever it returned. So it is where its
// credentials were refused, once there are others. Else its end is that of Run.
func (d *Database) Run(ctx context.Context, loop func(context.Context, *mongo.Database) error) error {
	for {
		g, err := d.enter()
		if err != nil {
			return err
		}
		err = g.run(ctx, g.over, loop)
		switch {
		case ctx.Err() != nil:
			return err
		case g.over.Err() != nil:
		case !refused(err) || !d.renewed(ctx, g):
			return err
		}
	}
}

// pause waits before the next attempt: 5 ms, doubled with each up to 320 ms, less a
// half at random.
func pause(ctx context.Context, attempt int) bool {
	d := 5 * time.Millisecond << min(attempt, 6)
	timer := time.NewTimer(d/2 + rand.N(d/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
