package follow

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// readChunk reads the next chunk when the one before has been handled.
func (s *session) readChunk(ctx context.Context) error {
	if s.cfg.Interleave == nil || s.chunk != nil {
		return nil
	}
	chunk, err := s.cfg.Interleave.Next(ctx)
	if err != nil {
		return handlerError{fmt.Errorf("read a chunk beside the stream: %w", err)}
	}
	s.chunk, s.chunkAt = chunk, s.cfg.Now()
	return nil
}

// reached says whether a stream that holds nothing more is past the chunk. Where
// the token does not tell its time, a question asked after the chunk was read does.
func (s *session) reached(token bson.Raw, asked time.Time) bool {
	if at := tokenTime(token); at != (bson.Timestamp{}) {
		return !at.Before(s.chunk.At)
	}
	return asked.After(s.chunkAt)
}

// handleChunk hands out the chunk, whose place in the stream has come.
func (s *session) handleChunk(ctx context.Context) error {
	chunk := s.chunk
	receipts, err := chunk.Handle(ctx)
	if err != nil {
		return handlerError{fmt.Errorf("handle a chunk read beside the stream: %w", err)}
	}
	s.chunk = nil
	return s.push(ctx, &item{receipts: receipts, move: func(p *position) { p.state = chunk.State }})
}
