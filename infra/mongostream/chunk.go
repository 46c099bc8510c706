package mongostream

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// An Interleaver inserts documents that it reads from the database into the stream: each chunk at the
// position of the cluster time at which it was read, behind all changes up to that
// time and before all later ones. So a document in a chunk is never
// older than its last handled change.
type Interleaver interface {
	// Begin is called with the state stored last, nil if none, whenever the stream
	// is opened again. fresh reports that there is no position yet; then the state that it
	// returns is stored together with the start. Otherwise it returns state unchanged.
	Begin(ctx context.Context, state bson.Raw, fresh bool) (bson.Raw, error)
	// Next reads the next chunk, nil when there is none left. It is called between
	// two changes, when the previous chunk was handled.
	Next(ctx context.Context) (*Chunk, error)
}

// Chunk is a part of what an Interleaver reads.
type Chunk struct {
	// At is the cluster time as of which it was read.
	At bson.Timestamp
	// Handle is Config.Handle for the chunk.
	Handle func(ctx context.Context) (Ack, error)
	// State is stored when everything before and the chunk itself are acknowledged.
	State bson.Raw
}

// readChunk reads the next chunk when the previous one has been handled.
func (s *session) readChunk(ctx context.Context) error {
	if s.cfg.Interleave == nil || s.chunk != nil {
		return nil
	}
	chunk, err := s.cfg.Interleave.Next(ctx)
	if err != nil {
		return callbackError{fmt.Errorf("read a chunk beside the stream: %w", err)}
	}
	s.chunk, s.chunkAt = chunk, time.Now()
	return nil
}

// hasReachedChunk reports whether a stream that holds nothing more before token is past the
// chunk. Where the token has no time, a request sent after the chunk was read shows it.
func (s *session) hasReachedChunk(token bson.Raw, asked time.Time) bool {
	if at := tokenTime(token); at != (bson.Timestamp{}) {
		return !at.Before(s.chunk.At)
	}
	return asked.After(s.chunkAt)
}

// handleChunk handles the chunk, since the stream has reached its position.
func (s *session) handleChunk(ctx context.Context) error {
	chunk := s.chunk
	ack, err := chunk.Handle(ctx)
	if err != nil {
		return callbackError{fmt.Errorf("handle a chunk read beside the stream: %w", err)}
	}
	s.chunk = nil
	return s.enqueue(ctx, &item{ack: ack, advance: func(p *Position) { p.State = chunk.State }})
}
