package fence

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/migrate/names"
)

// ErrNotDiscardable is returned by [Fence.Discard] for what was not set aside.
var ErrNotDiscardable = errors.New("it is not a collection that was set aside; `banyan-migrate strays` shows what stands under the entity's names")

// StrayDocument is one document that somebody wrote under a vacated name, beside what the
// entity's collection holds under its _id.
type StrayDocument struct {
	Collection string   // the stray
	Stray      bson.Raw // as it was written there
	Current    bson.Raw // nil where the entity's collection has none
}

// Strays calls each for every document of every stray, in the order of the strays' names
// and of _id, and returns the strays' names. It changes nothing.
func (f *Fence) Strays(ctx context.Context, each func(StrayDocument) error) ([]string, error) {
	l, err := f.look(ctx)
	if err != nil {
		return nil, err
	}
	current := l.Locate(f.UUID)
	var names []string
	for _, s := range l.Strays(f.UUID) {
		if err := f.showStray(ctx, s.Name, current, each); err != nil {
			return nil, fmt.Errorf("read %s: %w", s.Name, err)
		}
		names = append(names, s.Name)
	}
	return names, nil
}

func (f *Fence) showStray(ctx context.Context, name, current string, each func(StrayDocument) error) error {
	cursor, err := f.DB.Collection(name).Find(ctx, bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return err
	}
	defer func() { _ = cursor.Close(ctx) }()
	for cursor.Next(ctx) {
		d := StrayDocument{Collection: name, Stray: append(bson.Raw(nil), cursor.Current...)}
		if current != "" {
			d.Current, err = f.DB.Collection(current).FindOne(ctx, bson.D{{Key: "_id", Value: d.Stray.Lookup("_id")}}).Raw()
			if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
				return err
			}
		}
		if err := each(d); err != nil {
			return err
		}
	}
	return cursor.Err()
}

// Discard drops a stray that was set aside, with all its documents. Its name is never used
// again, so a late command does no harm.
func (f *Fence) Discard(ctx context.Context, name string) error {
	rec, err := f.Owners.Load(ctx, f.Entity)
	if err != nil {
		return err
	}
	if kind, g := f.Names.Parse(name); kind != names.Stray || g > rec.Generation {
		return fmt.Errorf("discard %s of %s: %w", name, f.Names, ErrNotDiscardable)
	}
	if _, err := f.DDL.open(ctx); err != nil {
		return err
	}
	l, err := f.look(ctx)
	if err != nil {
		return err
	}
	e, there := l.At(name)
	if !there {
		return fmt.Errorf("discard %s: it does not exist", name)
	}
	if err := f.DDL.drop(ctx, name, f.condition(e.UUID)); err != nil && !mongoerr.HasCode(err, mongoerr.NamespaceNotFound) {
		return err
	}
	return nil
}
