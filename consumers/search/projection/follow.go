package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/infra/awserr"
	"github.com/banyan-fig/banyan/infra/dynamostream"
)

// Run keeps the index equal to the table until ctx ends: it follows the stream from now on,
// builds an index beside the one that is searched, and follows on. Where the stream has lost
// its place (an outage of 24 hours) or anything else cannot go on, it begins anew.
func (p *Projection) Run(ctx context.Context) error {
	for failures := 0; ; failures++ {
		built, err := p.runOnce(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if built {
			failures = 0
		}
		p.cfg.Logger.ErrorContext(ctx, "the search index is behind, and is built anew", "table", p.cfg.Table, "error", err.Error())
		if err := pauses.Wait(ctx, failures); err != nil {
			return nil
		}
	}
}

// runOnce returns when following has failed. built says that the index was built before.
func (p *Projection) runOnce(ctx context.Context) (built bool, err error) {
	arn, err := p.StreamARN(ctx)
	if err != nil {
		return false, err
	}
	group, ctx := errgroup.WithContext(ctx)
	f := &follower{projection: p, stream: dynamostream.Stream{Client: p.cfg.Streams, ARN: arn},
		group: group, begun: map[string]bool{}, done: map[string]bool{}, ended: make(chan struct{}, 1)}
	f.behind.Add(1)
	group.Go(func() error { return f.followShards(ctx) })
	group.Go(func() error {
		if err := f.awaitPlaces(ctx); err != nil {
			return err
		}
		_, err := p.Rebuild(ctx)
		built = err == nil
		return err
	})
	err = group.Wait()
	return built, err
}

// follower reads the shards of one stream.
type follower struct {
	projection *Projection
	stream     dynamostream.Stream
	group      *errgroup.Group
	behind     sync.WaitGroup // shards that have no place in the stream yet from which on they miss nothing
	ended      chan struct{}  // a shard was read to its end

	mu          sync.Mutex
	begun, done map[string]bool
}

// awaitPlaces waits until no change that is made from then on is missed.
func (f *follower) awaitPlaces(ctx context.Context) error {
	placed := make(chan struct{})
	go func() {
		f.behind.Wait()
		close(placed)
	}()
	select {
	case <-placed:
		return ctx.Err()
	case <-ctx.Done():
		<-placed // every shard gives up its wait
		return ctx.Err()
	}
}

// followShards begins at the end of the shards that there are, and at the start of later ones.
func (f *follower) followShards(ctx context.Context) error {
	at := dynamostream.Latest
	for {
		shards, err := f.stream.Shards(ctx)
		if err == nil {
			f.begin(ctx, shards, at)
		}
		first := at == dynamostream.Latest
		if first {
			f.behind.Done()
		}
		if err != nil && (first || errors.Is(err, dynamostream.ErrNoStream) || awserr.IsPermanent(err)) {
			return err
		}
		at = dynamostream.Oldest
		timer := time.NewTimer(f.projection.cfg.ListInterval)
		select {
		case <-f.ended:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := f.checkStream(ctx); err != nil {
			return err
		}
	}
}

// checkStream looks whether the table still has the stream: one that was disabled is readable for a
// day, and enabled again has another name.
func (f *follower) checkStream(ctx context.Context) error {
	arn, err := f.projection.StreamARN(ctx)
	if err == nil && arn != f.stream.ARN {
		return fmt.Errorf("the table %s has another stream now", f.projection.cfg.Table)
	}
	if errors.Is(err, errNoStream) {
		return err
	}
	return nil // or not known: it is asked again
}

// begin begins to read shards whose parents have been read. Those that are closed at first
// hold nothing but the past.
func (f *follower) begin(ctx context.Context, shards dynamostream.Shards, at dynamostream.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range shards {
		if at == dynamostream.Latest && s.Closed {
			f.done[s.ID] = true
		}
	}
	for _, s := range shards.Ready(func(id string) bool { return f.done[id] }) {
		if f.begun[s.ID] {
			continue
		}
		f.begun[s.ID] = true
		placed := func() {}
		if at == dynamostream.Latest {
			f.behind.Add(1)
			placed = sync.OnceFunc(f.behind.Done)
		}
		reader := &dynamostream.Reader{Stream: f.stream, Shard: s.ID, Position: at}
		f.group.Go(func() error {
			defer placed()
			return f.followShard(ctx, reader, placed)
		})
	}
}

// followShard reads a shard to its end. It calls placed once it has an iterator.
func (f *follower) followShard(ctx context.Context, r *dynamostream.Reader, placed func()) error {
	for {
		page, last, err := r.Next(ctx)
		if err != nil {
			return err
		}
		placed()
		changes := make([]change, len(page.Records))
		for i, raw := range page.Records {
			record, err := dynamostream.Decode(raw)
			if err != nil {
				return err
			}
			changes[i] = change{record.New, record.Removed}
			if record.Removed {
				changes[i].item = record.Old
			}
			if changes[i].item == nil {
				return fmt.Errorf("record %s of %s: %w", record.Sequence, f.projection.cfg.Table, errNoImages)
			}
		}
		if err := f.applyPage(ctx, changes); err != nil {
			return err
		}
		if last {
			f.end(r.Shard)
			return nil
		}
	}
}

// applyPage tries for as long as it takes: the shard waits.
func (f *follower) applyPage(ctx context.Context, changes []change) error {
	for failures := 0; ; failures++ {
		err := f.projection.apply(ctx, changes)
		if err == nil {
			return nil
		}
		f.projection.cfg.Logger.WarnContext(ctx, "changes wait for the search index", "table", f.projection.cfg.Table, "error", err.Error())
		if waitErr := pauses.Wait(ctx, failures); waitErr != nil {
			return errors.Join(err, waitErr)
		}
	}
}

func (f *follower) end(shard string) {
	f.mu.Lock()
	f.done[shard] = true
	f.mu.Unlock()
	select {
	case f.ended <- struct{}{}:
	default: // the shards are listed anyhow
	}
}
