package spool

import (
	"context"
	"fmt"

	"github.com/banyan-fig/banyan/publishers/spool/internal/pages"
)

// Read gives visit every event that waits in the spool file at path, in order, with its
// data, until visit returns an error, which Read returns.
func Read(ctx context.Context, path string, visit func(e Entry, data []byte) error) error {
	var own error
	err := withReader(ctx, path, func(l *reader) error {
		now, err := l.readState()
		if err != nil {
			return err
		}
		return l.visitEvents(now.state.Next, func(r *record) error {
			own = visit(entryOf(r, r.data), r.data)
			if own != nil {
				return pages.Stop
			}
			return nil
		})
	})
	if own != nil {
		return own
	}
	if err != nil {
		return fmt.Errorf("publishers/spool: read %s: %w", path, err)
	}
	return nil
}
