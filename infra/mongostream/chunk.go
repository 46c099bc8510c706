package mongostream

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// An Interleaver puts into the stream what it reads beside it: each chunk at the
// place of the cluster time that it was read at, behind all changes up to that
// time and before all later ones. So what a chunk says of a document is never
// older than what was handled of it before.
type Interleaver interface {
	// Begin is called with the state stored last, nil if none, whenever the stream
	// is opened anew. fresh says that there is no position yet; then what it
	// returns is stored together with the start. Else it returns state as it is.
	Begin(ctx context.Context, state bson.Raw, fresh bool) (bson.Raw, error)
	// Next reads the next chunk, nil when there is none left. It is called between
	// two changes, when the chunk before was handled.
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

// readChunk reads the next chunk when the one before has been handled.
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

// reached reports whether a stream that holds nothing more before token is past the
// chunk. Where the token has no time, a request sent after the chunk was read shows it.
func (s *session) reached(token bson.Raw, asked time.Time) bool {
	if at := tokenTime(token); at != (bson.Timestamp{}) {
		return !at.Before(s.chunk.At)
	}
	return asked.After(s.chunkAt)
}

// handleChunk hands out the chunk, whose place in the stream has come.
func (s *session) handleChunk(ctx context.Context) error {
	chunk := s.chunk
	ack, err := chunk.Handle(ctx)
	if err != nil {
		return callbackError{fmt.Errorf("handle a chunk read beside the stream: %w", err)}
	}
	s.chunk = nil
	return s.enqueue(ctx, &item{ack: ack, advance: func(p *Position) { p.State = chunk.State }})
}
