package follow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// How long the server may hold back an empty answer, also while a chunk waits for
// its place in the stream, and how many changes it may give at once.
const (
	maxAwait   = 250 * time.Millisecond
	hastyAwait = 5 * time.Millisecond
	batchSize  = 500
)

// follow reads the stream, and reads it again from the settled position after
// what passes.
func (s *session) follow(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		before := s.progress.count()
		err := s.attempt(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := s.flush(ctx); err != nil {
			return err
		}
		if errors.Is(err, errCalm) {
			continue
		}
		if err = s.judge(err); err != nil {
			return err
		}
		if s.progress.count() > before {
			attempt = 0
		}
		if err := s.f.pause(ctx, backoff(attempt)); err != nil {
			return context.Cause(ctx)
		}
	}
}

// handlerError tells errors of the handler from those of the stream.
type handlerError struct{ error }

func (e handlerError) Unwrap() error { return e.error }

// judge says what ends the session; nil is for what passes.
func (s *session) judge(err error) error {
	var handler handlerError
	switch {
	case errors.Is(err, errLeaseLost):
		return err
	case errors.As(err, &handler):
		if !s.cfg.Passing(handler.error) {
			return handler.error
		}
	default:
		if last := final(err); last != nil {
			return last
		}
	}
	s.f.note(fmt.Errorf("follow %q: interrupted: %w", s.cfg.Name, err))
	s.f.reconnected()
	return nil
}

// errCalm asks for the stream to be opened anew, when nothing is interleaved any
// more: how long the server waits cannot be changed in between.
var errCalm = errors.New("no chunk left")

// attempt opens the stream where everything is settled and reads it.
func (s *session) attempt(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	if err := s.readChunk(ctx); err != nil {
		return err
	}
	cs, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer closeStream(ctx, cs)
	s.f.once.Do(func() { close(s.f.ready) })
	return s.read(ctx, cs)
}

// begin finds a start where there is none, and stores it before anything is
// handled.
func (s *session) begin(ctx context.Context) error {
	s.chunk = nil
	p := s.progress.get()
	s.last, s.index = p.at, p.index
	fresh := p.fresh()
	state := p.state
	if s.cfg.Interleave != nil {
		var err error
		if state, err = s.cfg.Interleave.Begin(ctx, p.state, fresh); err != nil {
			return handlerError{fmt.Errorf("begin to interleave: %w", err)}
		}
	}
	if !fresh {
		return nil
	}
	start, err := s.start(ctx)
	if err != nil {
		return err
	}
	s.progress.move(&item{idle: true, move: func(p *position) { p.start, p.state, p.index = start, state, -1 }})
	if err := s.save(ctx); err != nil {
		s.progress.move(&item{idle: true, move: func(p *position) { p.start, p.state = bson.Timestamp{}, nil }})
		return err
	}
	return nil
}

// start is the time right behind everything that the server has acknowledged.
func (s *session) start(ctx context.Context) (bson.Timestamp, error) {
	if s.cfg.StartAt != nil {
		return *s.cfg.StartAt, nil
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	reply, err := s.cfg.Database.RunCommand(ctx, bson.D{{Key: "ping", Value: 1}}).Raw()
	if err != nil {
		return bson.Timestamp{}, err
	}
	for _, path := range [][]string{{"operationTime"}, {"$clusterTime", "clusterTime"}} {
		if t, i, ok := reply.Lookup(path...).TimestampOK(); ok {
			return bson.Timestamp{T: t, I: i + 1}, nil
		}
	}
	return bson.Timestamp{}, handlerError{ErrNoStream}
}

func (s *session) open(ctx context.Context) (*mongo.ChangeStream, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	await := maxAwait
	if s.hasty = s.chunk != nil; s.hasty {
		await = hastyAwait
	}
	opts := options.ChangeStream().SetMaxAwaitTime(await).SetBatchSize(batchSize)
	if s.cfg.FullDocument != "" {
		opts.SetFullDocument(s.cfg.FullDocument)
	}
	if s.cfg.FullDocumentBeforeChange != "" {
		opts.SetFullDocumentBeforeChange(s.cfg.FullDocumentBeforeChange)
	}
	switch p := s.progress.get(); {
	case p.token == nil:
		opts.SetStartAtOperationTime(&p.start)
	case p.after:
		opts.SetStartAfter(p.token)
	default:
		opts.SetResumeAfter(p.token)
	}
	if s.cfg.Collection != "" {
		return s.cfg.Database.Collection(s.cfg.Collection).Watch(ctx, s.pipeline(), opts)
	}
	return s.cfg.Database.Watch(ctx, s.pipeline(), opts)
}

// pipeline leaves out the positions: storing one would be a change to store the
// position of.
func (s *session) pipeline() mongo.Pipeline {
	rows := s.cfg.Checkpoints
	if s.cfg.Collection != "" || rows.Database().Name() != s.cfg.Database.Name() {
		return append(mongo.Pipeline{}, s.cfg.Pipeline...)
	}
	others := bson.D{{Key: "$match", Value: bson.D{{Key: "ns.coll", Value: bson.D{{Key: "$ne", Value: rows.Name()}}}}}}
	return append(mongo.Pipeline{others}, s.cfg.Pipeline...)
}

func closeStream(ctx context.Context, cs *mongo.ChangeStream) {
	out, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = cs.Close(out) // the server forgets the cursor by itself
}

// read hands out changes until the stream breaks.
func (s *session) read(ctx context.Context, cs *mongo.ChangeStream) error {
	s.swept = time.Time{}
	asked := s.cfg.Now()
	for {
		if err := s.between(ctx); err != nil {
			return err
		}
		if cs.RemainingBatchLength() == 0 {
			asked = s.cfg.Now()
		}
		there, err := next(ctx, cs)
		switch {
		case err != nil:
			return err
		case !s.lease.held(): // this process may have been paused over the question
			return errLeaseLost
		case there:
			err = s.take(ctx, cs.Current)
		default:
			err = s.heartbeat(ctx, append(bson.Raw(nil), cs.ResumeToken()...), asked)
		}
		if err != nil {
			return err
		}
	}
}

func next(ctx context.Context, cs *mongo.ChangeStream) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	if cs.TryNext(ctx) {
		return true, nil
	}
	if err := cs.Err(); err != nil {
		return false, err
	}
	if cs.ID() == 0 {
		return false, errClosed
	}
	return false, ctx.Err()
}

// between does what belongs between two changes.
func (s *session) between(ctx context.Context) error {
	if !s.lease.held() {
		return errLeaseLost
	}
	if err := s.readChunk(ctx); err != nil {
		return err
	}
	if s.hasty && s.chunk == nil {
		return errCalm
	}
	if s.cfg.Sweep == nil || !s.swept.IsZero() && s.cfg.Now().Sub(s.swept) < s.cfg.SweepEvery {
		return nil
	}
	if err := s.cfg.Sweep(ctx); err != nil {
		return handlerError{fmt.Errorf("sweep: %w", err)}
	}
	s.swept = s.cfg.Now()
	return nil
}

// take handles one change.
func (s *session) take(ctx context.Context, raw bson.Raw) error {
	c, err := decode(raw)
	if err != nil {
		return err
	}
	s.number(c)
	if s.chunk != nil && c.ClusterTime.After(s.chunk.At) {
		if err := s.handleChunk(ctx); err != nil {
			return err
		}
	}
	it := &item{change: c, move: moveTo(c)}
	if c.ofDocument() {
		if it.receipts, err = s.cfg.Handle(ctx, *c); err != nil {
			return handlerError{fmt.Errorf("handle %s: %w", c, err)}
		}
		s.f.handled()
		return s.push(ctx, it)
	}
	it.change = nil
	if err := s.push(ctx, it); err != nil || !c.structural() {
		return err
	}
	return s.invalidated(ctx, c)
}

// number counts the changes of one cluster time.
func (s *session) number(c *Change) {
	if c.ClusterTime == s.last {
		s.index++
	} else {
		s.last, s.index = c.ClusterTime, 0
	}
	c.Index = s.index
}

// invalidated tells of a drop or a rename once. A stream of one collection gets
// the drop and then the invalidation, and only the second ends it.
func (s *session) invalidated(ctx context.Context, c *Change) error {
	place := c.Database + "." + c.Collection
	if c.Collection == "" {
		place = s.cfg.Database.Name() + "." + s.cfg.Collection
	}
	s.cfg.Log.Warn("the collection went away", "name", s.cfg.Name, "operation", c.Operation, "collection", place)
	ends := c.Operation == "invalidate"
	switch {
	case !ends && s.cfg.Collection != "", !ends && c.Operation == "dropDatabase":
		return nil // its invalidation follows
	case s.cfg.FollowOn && ends:
		return errClosed // and opened again behind it
	case s.cfg.FollowOn:
		return nil
	}
	return fmt.Errorf("%w (%s of %s at %d.%d); run again to follow what has the name then", ErrInvalidated, c.Operation, place, c.ClusterTime.T, c.ClusterTime.I)
}

// heartbeat notes the position of a stream that holds nothing more. It waits its
// turn behind the changes; when there is no room, the next one will do.
func (s *session) heartbeat(ctx context.Context, token bson.Raw, asked time.Time) error {
	if s.chunk != nil && s.reached(token, asked) {
		return s.handleChunk(ctx)
	}
	if len(token) == 0 {
		return nil
	}
	select {
	case s.queue <- &item{idle: true, move: beat(token, asked)}:
	default:
	}
	return nil
}
