package migrate

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// fenceSteps bounds how often a fence is looked at and moved one step on; each
// stray that a zombie makes costs two.
const fenceSteps = 60

// fence makes MongoDB itself refuse writes to the collection: it takes the
// fenced name, and a read-only view takes its own. A writer that slips in
// between makes a stray collection, whose documents are acknowledged writes; it
// is set aside under a name that the changes follow too. Each step is found from
// what is there, so a fence that was interrupted is finished by the same call.
// It returns how many strays were set aside.
func (e *Engine) fence(ctx context.Context, epoch int64) (strays int, err error) {
	s := e.source
	for range fenceSteps {
		kinds, err := s.kinds(ctx)
		if err != nil {
			return strays, err
		}
		fenced, own := kinds[s.fenced(epoch)] != "", kinds[s.name]
		switch {
		case own == "view" && fenced:
			return strays, nil
		case own == "view" || own == "" && !fenced:
			return strays, fmt.Errorf("fence %s: there is no collection to fence", s.name)
		case !fenced:
			err = s.rename(ctx, s.name, s.fenced(epoch))
		case own != "":
			err = s.setAside(ctx, kinds)
			strays++
		default:
			err = s.makeView(ctx, epoch)
		}
		if err != nil && !movedMeanwhile(err) {
			return strays, fmt.Errorf("fence %s: %w", s.name, err)
		}
		if err := e.crash("fence step"); err != nil {
			return strays, err
		}
	}
	return strays, fmt.Errorf("fence %s: writers kept making it anew; stop them, and cut over again", s.name)
}

// movedMeanwhile reports whether the collections were no longer what kinds said.
func movedMeanwhile(err error) bool {
	var server mongo.ServerError
	return errors.As(err, &server) && (server.HasErrorCode(26) || server.HasErrorCode(48) || server.HasErrorCode(166))
}

func (s *source) rename(ctx context.Context, from, to string) error {
	return retry(ctx, "rename "+from+" to "+to, func(ctx context.Context) error {
		return s.db.Client().Database("admin").RunCommand(ctx, bson.D{{Key: "renameCollection", Value: s.db.Name() + "." + from}, {Key: "to", Value: s.db.Name() + "." + to}}).Err()
	})
}

func (s *source) makeView(ctx context.Context, epoch int64) error {
	return retry(ctx, "put a read-only view in the place of "+s.name, func(ctx context.Context) error {
		return s.db.CreateView(ctx, s.name, s.fenced(epoch), mongo.Pipeline{})
	})
}

func (s *source) setAside(ctx context.Context, kinds map[string]string) error {
	for n := 1; n <= maxStrays; n++ {
		if kinds[s.stray(n)] == "" {
			return s.rename(ctx, s.name, s.stray(n))
		}
	}
	return fmt.Errorf("%d stray collections beside %s already; merge and drop them first", maxStrays, s.name)
}

// unfence takes the fence away again, from whatever step it stands at, and
// brings the documents of strays home.
func (e *Engine) unfence(ctx context.Context, epoch int64) error {
	s := e.source
	for range fenceSteps {
		kinds, err := s.kinds(ctx)
		if err != nil {
			return err
		}
		fenced, own := kinds[s.fenced(epoch)] != "", kinds[s.name]
		switch {
		case fenced && own == "view":
			err = s.drop(ctx, s.name)
		case fenced && own == "":
			err = s.rename(ctx, s.fenced(epoch), s.name)
		case fenced:
			err = s.setAside(ctx, kinds)
		default:
			return e.mergeStrays(ctx, kinds)
		}
		if err != nil && !movedMeanwhile(err) {
			return fmt.Errorf("take the fence of %s away: %w", s.name, err)
		}
		if err := e.crash("unfence step"); err != nil {
			return err
		}
	}
	return fmt.Errorf("take the fence of %s away: writers kept making it anew; stop them, and run cutover again", s.name)
}

func (s *source) drop(ctx context.Context, name string) error {
	return retry(ctx, "drop "+name, func(ctx context.Context) error { return s.db.Collection(name).Drop(ctx) })
}

// mergeStrays puts the documents of strays into the collection, replacing what
// is older there, and drops the strays. A stray whose document clashes with
// another's unique value stays, and is named.
func (e *Engine) mergeStrays(ctx context.Context, kinds map[string]string) error {
	for n := 1; n <= maxStrays; n++ {
		if kinds[e.source.stray(n)] == "" {
			continue
		}
		if err := e.mergeStray(ctx, e.source.stray(n)); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) mergeStray(ctx context.Context, name string) error {
	s := e.source
	err := retry(ctx, "merge "+name+" into "+s.name, func(ctx context.Context) error {
		cur, err := s.db.Collection(name).Find(ctx, bson.D{})
		if err != nil {
			return err
		}
		defer cur.Close(ctx)
		for cur.Next(ctx) {
			if err := s.upsert(ctx, cur.Current); err != nil {
				return err
			}
		}
		return cur.Err()
	})
	if mongo.IsDuplicateKeyError(err) {
		e.Log.Error("a write that slipped past the fence clashes with another document; it stays where it is", "collection", name, "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	return s.drop(ctx, name)
}

func (s *source) upsert(ctx context.Context, doc bson.Raw) error {
	_, err := s.db.Collection(s.name).InsertOne(ctx, doc)
	if !mongo.IsDuplicateKeyError(err) {
		return err
	}
	result, replaceErr := s.db.Collection(s.name).ReplaceOne(ctx, bson.D{{Key: "_id", Value: doc.Lookup("_id")}}, doc)
	if replaceErr != nil {
		return replaceErr
	}
	if result.MatchedCount == 0 {
		return err // another unique value, not the _id, stands in the way
	}
	return nil
}
