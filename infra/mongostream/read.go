package mongostream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// How long the server may hold back an empty answer, also while a chunk waits for
// its position in the stream.
const (
	maxAwait   = 250 * time.Millisecond
	chunkAwait = 5 * time.Millisecond
)

// readUntilStopped reads the stream, and reads it again from the acknowledged
// position after transient errors.
func (s *session) readUntilStopped(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		before := s.progress.count()
		err := s.readOnce(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := s.flush(ctx); err != nil {
			return err
		}
		if errors.Is(err, errReopen) || errors.Is(err, errBehindInvalidation) {
			continue
		}
		if err = s.permanent(err); err != nil {
			return err
		}
		if s.progress.count() > before {
			attempt = 0
		}
		if err := retryDelay.Wait(ctx, attempt); err != nil {
			return context.Cause(ctx)
		}
	}
}

// callbackError distinguishes errors of callbacks from those of the stream.
type callbackError struct{ error }

func (e callbackError) Unwrap() error { return e.error }

// streamError marks a permanent error of the stream, which ends Run whatever
// Config.Transient says.
type streamError struct{ error }

func (e streamError) Unwrap() error { return e.error }

// permanent returns the error that ends the session, nil for a transient one.
func (s *session) permanent(err error) error {
	var callback callbackError
	switch {
	case errors.Is(err, ErrLeaseLost), errors.Is(err, ErrCheckpointRefused):
		return err
	case errors.As(err, &callback):
		if !s.cfg.Transient(callback.error) {
			return callback.error
		}
	default:
		if err := Permanent(err); err != nil {
			if errors.Is(err, ErrClosed) && s.lastDDL != "" {
				err = fmt.Errorf("%w; the last event of it was %s", err, s.lastDDL)
			}
			return streamError{err}
		}
	}
	_ = s.f.recordError(fmt.Errorf("follow %q: interrupted: %w", s.cfg.Name, err))
	s.f.updateStatus(func(st *Status) { st.Reconnects++ })
	return nil
}

// errReopen makes the session open the stream again when no chunk is left: how long
// the server waits cannot be changed on an open one.
var errReopen = errors.New("no chunk left")

// errBehindInvalidation makes the session open a new stream behind an invalidation.
var errBehindInvalidation = errors.New("invalidated")

// readOnce opens the stream at the acknowledged position and reads it.
func (s *session) readOnce(ctx context.Context) error {
	if err := s.ensureStart(ctx); err != nil {
		return err
	}
	if err := s.readChunk(ctx); err != nil {
		return err
	}
	await := maxAwait
	if s.shortAwait = s.chunk != nil; s.shortAwait {
		await = chunkAwait
	}
	source := s.cfg.Source
	source.Pipeline = s.pipeline()
	stream, err := source.Open(ctx, s.progress.get(), await)
	if err != nil {
		return err
	}
	defer stream.Close(ctx)
	s.f.once.Do(func() { close(s.f.ready) })
	return s.read(ctx, stream)
}

// ensureStart determines a start if none is stored, and stores it before any change is
// handled.
func (s *session) ensureStart(ctx context.Context) error {
	s.chunk = nil
	p := s.progress.get()
	s.last, s.index = p.At, p.Index
	state := p.State
	if s.cfg.Interleave != nil {
		var err error
		if state, err = s.cfg.Interleave.Begin(ctx, p.State, p.isZero()); err != nil {
			return callbackError{fmt.Errorf("begin to interleave: %w", err)}
		}
	}
	if !p.isZero() {
		return nil
	}
	start, err := s.startTime(ctx)
	if err != nil {
		return err
	}
	s.progress.advance(&item{heartbeat: true, advance: func(p *Position) { p.Start, p.State, p.Index = start, state, -1 }})
	if err := s.save(ctx); err != nil {
		s.progress.advance(&item{heartbeat: true, advance: func(p *Position) { p.Start, p.State = bson.Timestamp{}, nil }})
		return err
	}
	return nil
}

// startTime returns the time right behind every write that the server has acknowledged.
func (s *session) startTime(ctx context.Context) (bson.Timestamp, error) {
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
	return bson.Timestamp{}, callbackError{ErrNoStream}
}

// pipeline excludes the default checkpoint: storing a position would be a change, and so
// need another position.
func (s *session) pipeline() mongo.Pipeline {
	own, ok := s.checkpoint.(*mongoCheckpoint)
	if !ok || s.cfg.Collection != "" || own.rows.Database().Name() != s.cfg.Database.Name() {
		return s.cfg.Pipeline
	}
	others := bson.D{{Key: "$match", Value: bson.D{{Key: "ns.coll", Value: bson.D{{Key: "$ne", Value: own.rows.Name()}}}}}}
	return append(mongo.Pipeline{others}, s.cfg.Pipeline...)
}

// read handles changes until the stream breaks.
func (s *session) read(ctx context.Context, stream *Stream) error {
	s.swept = time.Time{}
	for {
		if err := s.beforeNext(ctx); err != nil {
			return err
		}
		c, err := stream.Next(ctx)
		switch {
		case err != nil:
			return err
		case !s.checkpoint.Held(): // this process may have been paused over the request
			return ErrLeaseLost
		case c != nil:
			err = s.handleChange(ctx, c)
			if err == nil && stream.Drained() {
				s.enqueueHeartbeat(c.Token, stream.Asked())
			}
		default:
			err = s.handleEmpty(ctx, stream.Token(), stream.Asked())
		}
		if err != nil {
			return err
		}
	}
}

// beforeNext does the work between two changes: chunks and sweeps.
func (s *session) beforeNext(ctx context.Context) error {
	if !s.checkpoint.Held() {
		return ErrLeaseLost
	}
	if err := s.readChunk(ctx); err != nil {
		return err
	}
	if s.shortAwait && s.chunk == nil {
		return errReopen
	}
	if s.cfg.Sweep == nil || !s.swept.IsZero() && time.Since(s.swept) < s.cfg.SweepEvery {
		return nil
	}
	if err := s.cfg.Sweep(ctx); err != nil {
		return callbackError{fmt.Errorf("sweep: %w", err)}
	}
	s.swept = time.Now()
	return nil
}

func (s *session) handleChange(ctx context.Context, c *Change) error {
	s.setIndex(c)
	if s.chunk != nil && c.ClusterTime.After(s.chunk.At) {
		if err := s.handleChunk(ctx); err != nil {
			return err
		}
	}
	it := &item{change: c, advance: advanceTo(c)}
	if !c.IsOfDocument() {
		return s.handleDDL(ctx, it)
	}
	var err error
	if it.ack, err = s.cfg.Handle(ctx, *c); err != nil {
		return callbackError{fmt.Errorf("handle %s: %w", c, err)}
	}
	s.f.updateStatus(func(st *Status) { st.Handled++ })
	return s.enqueue(ctx, it)
}

// setIndex numbers the changes of one cluster time.
func (s *session) setIndex(c *Change) {
	if c.ClusterTime == s.last {
		s.index++
	} else {
		s.last, s.index = c.ClusterTime, 0
	}
	c.Index = s.index
}

// handleDDL moves the position over an event that is not a change of a document, and resumes or
// ends as the config says. After a transient error of Config.DDL the event is read again.
func (s *session) handleDDL(ctx context.Context, it *item) error {
	c := it.change
	it.change, s.lastDDL = nil, c.String()
	var refused error
	if s.cfg.DDL == nil {
		refused = s.removalError(c)
	} else if err := s.cfg.DDL(ctx, *c); err != nil {
		refused = callbackError{fmt.Errorf("handle %s: %w", c, err)}
		if s.cfg.Transient(err) {
			return refused
		}
	}
	if err := s.enqueue(ctx, it); err != nil {
		return err
	}
	switch {
	case refused != nil:
		return refused
	case c.Operation == "invalidate":
		return errBehindInvalidation
	}
	return nil
}

// removalError reports a drop or a rename once, as ErrInvalidated. A stream of one
// collection gets the drop and then the invalidation, and only the second ends it.
func (s *session) removalError(c *Change) error {
	if c.IsMove() && s.cfg.Collection == "" {
		if s.cfg.Moved != nil {
			s.cfg.Moved(*c)
		}
		return nil
	}
	if !c.isRemoval() {
		return nil
	}
	s.cfg.Log.Warn("the collection was dropped or renamed", "name", s.cfg.Name, "event", c)
	invalidationFollows := c.Operation != "invalidate" && (s.cfg.Collection != "" || c.Operation == "dropDatabase")
	if s.cfg.FollowOn || invalidationFollows {
		return nil
	}
	return fmt.Errorf("%w (%s); run again to follow the collection that has the name then", ErrInvalidated, c)
}

// handleEmpty handles an empty response: the stream holds no further changes before token.
func (s *session) handleEmpty(ctx context.Context, token bson.Raw, asked time.Time) error {
	if s.chunk != nil && s.hasReachedChunk(token, asked) {
		return s.handleChunk(ctx)
	}
	if len(token) > 0 {
		s.enqueueHeartbeat(token, asked)
	}
	return nil
}

// enqueueHeartbeat enqueues the position of a stream without further changes, behind the
// changes before it; when the queue is full, it leaves that to the next heartbeat.
func (s *session) enqueueHeartbeat(token bson.Raw, asked time.Time) {
	select {
	case s.queue <- &item{heartbeat: true, advance: advanceToHeartbeat(token, asked)}:
	default:
	}
}
