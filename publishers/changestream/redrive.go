package changestream

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Redriven says what became of dead letters.
type Redriven struct {
	Published int // made into events, or into none, and removed
	Refused   int // refused again, and kept with the new reason
}

// Redrive maps each dead letter again and publishes what comes of it, oldest
// first: after the mapping, or the limits of the stream, were mended. It may run
// beside Run.
//
// The events have the ids and sequences that they would have had in time; but on
// the stream they come behind newer ones of their document. A consumer that
// keeps the newest by sequence ignores them rightly, and one that does not may go
// back. A letter of which a part was left out is only refused again.
func (p *Publisher) Redrive(ctx context.Context) (Redriven, error) {
	var all Redriven
	oldest := bson.D{{Key: "change.clusterTime", Value: 1}, {Key: "change.n", Value: 1}}
	cur, err := p.cfg.Refused.Find(ctx, bson.D{}, options.Find().SetSort(oldest))
	if err != nil {
		return all, fmt.Errorf("changestream: read the dead letters in %s: %w", p.cfg.Refused.Name(), err)
	}
	defer func() { _ = cur.Close(context.WithoutCancel(ctx)) }()
	for cur.Next(ctx) {
		var letter Refused
		if err := cur.Decode(&letter); err != nil {
			return all, fmt.Errorf("changestream: read a dead letter in %s: %w", p.cfg.Refused.Name(), err)
		}
		again, err := p.redrive(ctx, &letter)
		if err != nil {
			return all, fmt.Errorf("changestream: redrive dead letter %s: %w", letter.ID, err)
		}
		if again {
			all.Refused++
		} else {
			all.Published++
		}
	}
	return all, cur.Err()
}

// redrive removes the letter, unless it is refused again under the same id.
func (p *Publisher) redrive(ctx context.Context, letter *Refused) (again bool, err error) {
	c := letter.Change.change()
	if len(letter.Left) > 0 || p.cfg.Mapping.Collections[c.Collection] == nil {
		return true, nil
	}
	switch err := p.lookUp(ctx, c); {
	case errors.Is(err, errCollectionGone):
		return true, nil
	case err != nil:
		return false, err
	}
	id := p.identify(c, letter.Change.Snapshot)
	receipts, err := p.publishAs(ctx, c, id, letter.Change.Snapshot)
	if err != nil {
		return false, err
	}
	for _, r := range receipts {
		if _, err := r.Wait(ctx); err != nil {
			return false, err
		}
	}
	if !slices.Contains(id.refused, letter.ID) {
		_, err = p.cfg.Refused.DeleteOne(ctx, bson.D{{Key: "_id", Value: letter.ID}})
	}
	return len(id.refused) > 0, err
}
