package side

import (
	"context"
	"sync"
)

// ReadAhead calls each with the chunks of a range, in their order, while the next is read.
// It ends with the range, or with the first error of read, of each or of ctx.
func ReadAhead(ctx context.Context, r Range, read func(context.Context, Range) (Chunk, error), each func(Chunk) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var reader sync.WaitGroup
	defer reader.Wait()
	defer cancel()
	chunks, failed := make(chan Chunk), error(nil)
	reader.Go(func() {
		defer close(chunks)
		for {
			var c Chunk
			if c, failed = read(ctx, r); failed != nil || len(c.Docs) == 0 {
				return
			}
			select {
			case chunks <- c:
			case <-ctx.Done():
				failed = ctx.Err()
				return
			}
			r.From = c.Next
		}
	})
	for c := range chunks {
		if err := each(c); err != nil {
			return err
		}
	}
	return failed
}
