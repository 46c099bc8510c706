package mongostream

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const (
	// batchSize is how many changes the server may send at once.
	batchSize = 500
	// attemptTimeout bounds one request.
	attemptTimeout = 15 * time.Second
)

// Source selects the changes of a stream.
type Source struct {
	// Database whose changes are read.
	Database *mongo.Database
	// Collection is the one read; "" means all of the database.
	Collection string
	// Pipeline are further stages, such as [Collections.Match]. They must keep _id,
	// operationType and clusterTime of each event, and let the events pass that have no
	// collection, dropDatabase and invalidate.
	Pipeline mongo.Pipeline
	// FullDocument and FullDocumentBeforeChange select the documents sent with a change, as the
	// driver's options of that name; "" means the server's default, none.
	FullDocument, FullDocumentBeforeChange options.FullDocument
	// ShowExpandedEvents asks for all events of DDL (create, modify, createIndexes and
	// others), and for the UUIDs of collections. Servers before MongoDB 6.0 send
	// neither.
	ShowExpandedEvents bool

	unsupported *unsupported // found out by a Follower; nil: by each Open
}

// Stream is an open change stream. It is not safe for concurrent use.
//
// Events that are too large for the server to send (16 MB, with the documents that were
// asked for) come whole where the server can split them (MongoDB 6.0.9, 7.0), and
// Change.Stripped elsewhere.
type Stream struct {
	source  Source
	await   time.Duration
	at      Position // behind all that Next has returned
	cs      *mongo.ChangeStream
	asked   time.Time // when the present batch was requested
	inBatch int       // events of it that were read

	parts    event // of a split event, as far as they were read
	size     int   // of parts
	returned int   // changes since the server's cursor was opened
	pace     pace
	reopen   bool // before the next change
}

// Open opens a stream at from. The server holds back an empty response for at most
// await.
func (s Source) Open(ctx context.Context, from Position, await time.Duration) (*Stream, error) {
	if s.unsupported == nil {
		s.unsupported = &unsupported{}
	}
	stream := &Stream{source: s, at: from, await: await}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	for {
		err := stream.open(ctx)
		if err == nil {
			return stream, nil
		}
		if err := stream.slowDown(err); err != nil {
			return nil, err
		}
	}
}

// open opens a cursor at the stream's position, with what the server supports.
func (s *Stream) open(ctx context.Context) error {
	if s.cs != nil {
		s.Close(ctx)
	}
	watch := s.source.Database.Watch
	if s.source.Collection != "" {
		watch = s.source.Database.Collection(s.source.Collection).Watch
	}
	for {
		cs, err := watch(ctx, s.pipeline(), s.options())
		if err == nil {
			s.cs, s.asked, s.inBatch, s.returned, s.reopen, s.parts, s.size = cs, time.Now(), 0, 0, false, nil, 0
			return nil
		}
		if !s.source.unsupported.add(err) {
			return err
		}
	}
}

func (s *Stream) options() *options.ChangeStreamOptionsBuilder {
	opts := options.ChangeStream().SetMaxAwaitTime(s.await).SetBatchSize(s.pace.batchSize())
	if s.source.FullDocument != "" {
		opts.SetFullDocument(s.source.FullDocument)
	}
	if s.source.FullDocumentBeforeChange != "" {
		opts.SetFullDocumentBeforeChange(s.source.FullDocumentBeforeChange)
	}
	if s.source.ShowExpandedEvents && !s.source.unsupported.expanded.Load() {
		opts.SetShowExpandedEvents(true)
	}
	switch {
	case s.at.Token == nil:
		opts.SetStartAtOperationTime(&s.at.Start)
	case s.at.Invalidated:
		opts.SetStartAfter(s.at.Token)
	default:
		opts.SetResumeAfter(s.at.Token)
	}
	return opts
}

func (s *Stream) pipeline() mongo.Pipeline {
	stages := slices.Concat(mongo.Pipeline{}, s.source.Pipeline)
	if s.pace == stripped {
		stages = append(stages, withoutDocuments)
	}
	if !s.source.unsupported.split.Load() {
		stages = append(stages, splitLargeEvent)
	}
	return stages
}

// Next returns the next change, or nil when the server has none for now: then
// [Stream.Token] is behind everything up to [Stream.Asked].
//
// A stream that the server ended is [ErrClosed]. Where it ended before it gave a change
// it would do so at each opening, and the error is [ErrInvalidated] as well: its
// collection or database was dropped or renamed, and the pipeline has filtered the event.
func (s *Stream) Next(ctx context.Context) (*Change, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	for {
		c, err := s.next(ctx)
		if err == nil {
			s.passed(c)
			return c, nil
		}
		if err := s.slowDown(err); err != nil {
			return nil, err
		}
		s.reopen = true
	}
}

func (s *Stream) next(ctx context.Context) (*Change, error) {
	if s.reopen {
		if err := s.open(ctx); err != nil {
			return nil, err
		}
	}
	for {
		if s.cs.RemainingBatchLength() == 0 {
			s.asked, s.inBatch = time.Now(), 0
		}
		if !s.cs.TryNext(ctx) {
			break
		}
		s.inBatch++
		if c, err := s.assemble(s.cs.Current); c != nil || err != nil {
			return c, err
		}
	}
	switch err := s.cs.Err(); {
	case err != nil:
		return nil, err
	case s.cs.ID() == 0 && s.returned == 0:
		return nil, fmt.Errorf("%w, or its database: %w %s, and the pipeline has filtered the event of it, such as invalidate",
			ErrInvalidated, ErrClosed, s.at)
	case s.cs.ID() == 0:
		return nil, ErrClosed
	}
	return nil, ctx.Err()
}

// passed moves the position behind a change, or to the end of an empty response.
func (s *Stream) passed(c *Change) {
	switch {
	case c != nil:
		s.at = Position{Token: c.Token, Invalidated: c.Operation == "invalidate"}
		s.returned++
	case len(s.parts) > 0: // not to the token of a fragment
	case len(s.cs.ResumeToken()) > 0:
		s.at = Position{Token: slices.Clone(s.cs.ResumeToken())}
	}
	s.speedUp(c)
}

// Drained reports whether the change that Next returned was the last one that the
// server had at [Stream.Asked]: a batch that is not full holds all remaining changes.
func (s *Stream) Drained() bool {
	return s.pace == whole && !s.reopen && s.cs.RemainingBatchLength() == 0 && s.inBatch < batchSize
}

// Asked returns the time of the last request to the server, by this process' clock.
func (s *Stream) Asked() time.Time { return s.asked }

// Token returns the resume token behind all that Next has returned, nil where the
// server gives none. It must not be changed.
func (s *Stream) Token() bson.Raw { return s.at.Token }

// Close ends the stream on the server, within a second.
func (s *Stream) Close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = s.cs.Close(ctx) // the server drops an idle cursor by itself
}
