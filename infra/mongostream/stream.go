package mongostream

import (
	"context"
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
	// Pipeline are further stages. They must keep _id, operationType and
	// clusterTime of each event, and let invalidate events through, which have no
	// collection.
	Pipeline mongo.Pipeline
	// FullDocument and FullDocumentBeforeChange select the documents sent with a change, as the
	// driver's options of that name; "" means the server's default, none.
	FullDocument, FullDocumentBeforeChange options.FullDocument
}

// Stream is an open change stream. It is not safe for concurrent use.
type Stream struct {
	cs      *mongo.ChangeStream
	asked   time.Time // when the present batch was requested
	inBatch int       // changes of it that were returned
}

// Open opens a stream at from. The server holds back an empty response for at most
// await.
func (s Source) Open(ctx context.Context, from Position, await time.Duration) (*Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	opts := options.ChangeStream().SetMaxAwaitTime(await).SetBatchSize(batchSize)
	if s.FullDocument != "" {
		opts.SetFullDocument(s.FullDocument)
	}
	if s.FullDocumentBeforeChange != "" {
		opts.SetFullDocumentBeforeChange(s.FullDocumentBeforeChange)
	}
	switch {
	case from.Token == nil:
		opts.SetStartAtOperationTime(&from.Start)
	case from.Invalidated:
		opts.SetStartAfter(from.Token)
	default:
		opts.SetResumeAfter(from.Token)
	}
	watch := s.Database.Watch
	if s.Collection != "" {
		watch = s.Database.Collection(s.Collection).Watch
	}
	pipeline := s.Pipeline
	if pipeline == nil {
		pipeline = mongo.Pipeline{}
	}
	cs, err := watch(ctx, pipeline, opts)
	if err != nil {
		return nil, err
	}
	return &Stream{cs: cs, asked: time.Now()}, nil
}

// Next returns the next change, or nil when the server has none for now: then
// [Stream.Token] is behind everything up to [Stream.Asked]. A stream that the
// server ended is [ErrClosed].
func (s *Stream) Next(ctx context.Context) (*Change, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	if s.cs.RemainingBatchLength() == 0 {
		s.asked, s.inBatch = time.Now(), 0
	}
	if s.cs.TryNext(ctx) {
		s.inBatch++
		return decode(s.cs.Current)
	}
	switch err := s.cs.Err(); {
	case err != nil:
		return nil, err
	case s.cs.ID() == 0:
		return nil, ErrClosed
	}
	return nil, ctx.Err()
}

// Drained reports whether the change that Next returned was the last one that the
// server had at [Stream.Asked]: a batch that is not full holds all remaining changes.
func (s *Stream) Drained() bool { return s.cs.RemainingBatchLength() == 0 && s.inBatch < batchSize }

// Asked returns the time of the last request to the server, by this process' clock.
func (s *Stream) Asked() time.Time { return s.asked }

// Token returns a copy of the resume token behind all that Next has returned, nil where
// the server gives none.
func (s *Stream) Token() bson.Raw { return append(bson.Raw(nil), s.cs.ResumeToken()...) }

// Close ends the stream on the server, within a second.
func (s *Stream) Close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = s.cs.Close(ctx) // the server drops an idle cursor by itself
}
