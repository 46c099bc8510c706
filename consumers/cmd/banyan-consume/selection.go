package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/banyan-fig/banyan/consumers/deadletter"
)

// selection selects letters of a consumer.
type selection struct {
	filterFlags
	Position []position `arg:"" optional:"" help:"Positions of letters, as the list shows them; none: those that the flags select."`
	Stream   string     `help:"ARN of their stream, where letters of several have that position." placeholder:"ARN"`
	Limit    int        `help:"Most to handle; 0 for all." default:"0"`
}

func (s *selection) validate() error {
	switch {
	case s.Limit < 0:
		return fmt.Errorf("--limit %d is negative", s.Limit)
	case len(s.Position) == 0 && s.Stream != "":
		return errors.New("--stream needs a position")
	case len(s.Position) > 0 && s.filterFlags != filterFlags{}:
		return errors.New("letters are selected by positions or by flags, not by both")
	}
	return nil
}

// each calls do with the ids of the letters, in the order of their positions or as these were
// given, until do fails. It fails where there is none at a position, or none of the consumer.
func (s *selection) each(
	ctx context.Context, store *deadletter.Store, table, consumer string, redriven bool, do func(deadletter.ID) error,
) error {
	ids, err := s.atPositions(ctx, store, table, consumer)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := do(id); err != nil {
			return err
		}
	}
	if len(s.Position) > 0 {
		return nil
	}
	options := s.options()
	options.Redriven = redriven
	n, doErr := 0, error(nil)
	err = eachLetter(ctx, store, consumer, options, func(l deadletter.Letter) bool {
		if s.Limit > 0 && n == s.Limit {
			return false
		}
		n++
		doErr = do(l.ID())
		return doErr == nil
	})
	if err == nil && n == 0 {
		err = checkConsumer(ctx, store, table, consumer)
	}
	return errors.Join(err, doErr)
}

// atPositions looks for all before anything is done with one.
func (s *selection) atPositions(ctx context.Context, store *deadletter.Store, table, consumer string) ([]deadletter.ID, error) {
	var ids []deadletter.ID
	for _, p := range s.Position {
		id, err := findLetter(ctx, store, table, consumer, p.Position, s.Stream)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}
