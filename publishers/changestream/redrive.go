package changestream

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/publishers/internal/refused"
)

// ErrGone is returned by [Discard] when there is no dead letter of that id.
var ErrGone = refused.ErrGone

// EachRefused calls do with the dead letters in a collection (Config.Refused),
// those of the oldest changes first, until it fails.
func EachRefused(ctx context.Context, collection *mongo.Collection, do func(Refused) error) error {
	oldest := bson.D{{Key: "change.clusterTime", Value: 1}, {Key: "change.n", Value: 1}}
	return withPackage(refused.Each(ctx, collection, oldest, do))
}

// withPackage names the package in errors; those of do keep their identity.
func withPackage(err error) error {
	if err != nil {
		return fmt.Errorf("changestream: %w", err)
	}
	return nil
}

// Discard deletes a dead letter for good; [ErrGone] if there is none of that id.
func Discard(ctx context.Context, collection *mongo.Collection, id string) error {
	return withPackage(refused.Discard(ctx, collection, id))
}

// Redriven counts the outcomes of redriven dead letters.
type Redriven struct {
	Published int // made into events, or into none, and removed
	Refused   int // refused again, and kept with the new reason
}

// Redrive maps each dead letter for which match is true (nil: each) again and
// publishes its events, those of the oldest changes first: after the mapping, or the
// limits of the stream, have been corrected. It may run concurrently with Run.
//
// The events have the ids and sequences that they would have had in time; but on
// the stream they come behind newer ones of their document. A consumer that
// keeps the newest by sequence ignores them correctly, one that does not may overwrite
// newer values. A letter that lost a part for its size is only refused again.
func (p *Publisher) Redrive(ctx context.Context, match func(*Refused) bool) (all Redriven, err error) {
	err = EachRefused(ctx, p.cfg.Refused, func(letter Refused) error {
		if match != nil && !match(&letter) {
			return nil
		}
		again, err := p.redrive(ctx, &letter)
		switch {
		case err != nil:
			return fmt.Errorf("redrive dead letter %s: %w", letter.ID, err)
		case again:
			all.Refused++
		default:
			all.Published++
		}
		return nil
	})
	return all, err
}

// redrive removes the letter, unless it is refused again under the same id.
func (p *Publisher) redrive(ctx context.Context, letter *Refused) (again bool, err error) {
	c := letter.Change.toChange()
	if len(letter.Left) > 0 || p.cfg.Mapping.Collections[c.Collection] == nil {
		return true, nil
	}
	switch err := p.lookUpDocument(ctx, c); {
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
