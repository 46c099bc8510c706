package mongodb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/social/users"
)

// Collection is the name of the users' collection.
const Collection = "users"

// fencedPrefix begins the names that a cut-over gives to the collection.
const fencedPrefix = Collection + "__banyan_"

// Database runs an operation, and runs it again where it may have met a connection
// that broke, or refused credentials: *mongoclient.Database does.
type Database interface {
	Do(ctx context.Context, op func(ctx context.Context, db *mongo.Database) error) error
}

// Store implements users.Store. It is safe for concurrent use.
type Store struct{ db Database }

// New uses the database db. Writes ask for majority write concern whatever the
// client's setting is, since what was acknowledged must survive a fail-over.
func New(db Database) *Store { return &Store{db} }

// do runs an operation on the users, which must bear being repeated.
func (s *Store) do(ctx context.Context, what string, op func(context.Context, *mongo.Collection) error) error {
	return s.db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
		return wrap(op(ctx, db.Collection(Collection, options.Collection().SetWriteConcern(writeconcern.Majority()))), what)
	})
}

// EnsureIndexes makes e-mails unique. Call it while MongoDB is the owner.
func (s *Store) EnsureIndexes(ctx context.Context) error {
	return s.do(ctx, "make e-mails unique", func(ctx context.Context, coll *mongo.Collection) error {
		_, err := coll.Indexes().CreateOne(ctx, mongo.IndexModel{
			Keys: bson.D{{Key: "email", Value: 1}}, Options: options.Index().SetUnique(true),
		})
		if mongo.IsDuplicateKeyError(err) {
			return fmt.Errorf("two users of %s.%s share one; change one of them first: %w", coll.Database().Name(), Collection, err)
		}
		return err
	})
}

// Create implements users.Store.
func (s *Store) Create(ctx context.Context, _ int64, u users.User) (users.User, bool, error) {
	id, err := bson.ObjectIDFromHex(u.ID)
	if err != nil {
		return users.User{}, false, fmt.Errorf("%w: id %.40q: %w", users.ErrInvalid, u.ID, err)
	}
	tries := 0
	err = s.do(ctx, "insert user "+u.ID, func(ctx context.Context, coll *mongo.Collection) error {
		tries++
		_, err := coll.InsertOne(ctx, document(id, u))
		return err
	})
	if mongo.IsDuplicateKeyError(err) {
		stored, err := s.findConflict(ctx, u)
		return stored, err == nil && tries > 1 && stored == u, err // the hash has a salt, so it is this very insert's
	}
	if err != nil {
		return users.User{}, false, err
	}
	return u, true, nil
}

// findConflict tells a repeated create from a clash.
func (s *Store) findConflict(ctx context.Context, u users.User) (users.User, error) {
	stored, err := s.Get(ctx, u.ID)
	switch {
	case errors.Is(err, users.ErrNotFound):
		return users.User{}, users.ErrEmailTaken
	case err != nil:
		return users.User{}, err
	case stored.Email != u.Email:
		return users.User{}, users.ErrIDTaken
	}
	return stored, nil
}

// Update implements users.Store.
func (s *Store) Update(ctx context.Context, _ int64, id string, c users.Change) (users.User, error) {
	oid, err := bson.ObjectIDFromHex(id)
	if err != nil {
		return users.User{}, users.ErrNotFound
	}
	var u users.User
	found, err := s.queryUnfenced(ctx, func() (found bool, err error) {
		u, found, err = s.change(ctx, oid, c)
		return found, err
	})
	if err != nil || found {
		return u, err
	}
	stored, err := s.Get(ctx, id)
	if err != nil {
		return users.User{}, err
	}
	if c.Done(stored) {
		return stored, nil
	}
	return users.User{}, users.ErrVersion
}

// change updates the user that matches, if there is one. The repetition of a change
// to whatever version first finds out whether it is there already.
func (s *Store) change(ctx context.Context, id bson.ObjectID, c users.Change) (u users.User, found bool, err error) {
	tries := 0
	err = s.do(ctx, "update user "+id.Hex(), func(ctx context.Context, coll *mongo.Collection) error {
		if tries++; tries > 1 && c.IfVersion == nil {
			found, err = read(coll.FindOne(ctx, matching(id, c)), &u)
			if done := c.Applied(u); err != nil || found && done.Name == u.Name && done.Bio == u.Bio {
				return err
			}
		}
		found, err = read(coll.FindOneAndUpdate(ctx, matching(id, c), changing(c), options.FindOneAndUpdate().SetReturnDocument(options.After)), &u)
		return err
	})
	return u, found, err
}

// read decodes what was found, if anything.
func read(one *mongo.SingleResult, u *users.User) (found bool, _ error) {
	raw, err := one.Raw()
	switch {
	case errors.Is(err, mongo.ErrNoDocuments):
		return false, nil
	case err != nil:
		return false, err
	}
	*u = decode(raw)
	return true, nil
}

// matching selects the user, and its version where the change asks for one; a
// document without a version is at version 0.
func matching(id bson.ObjectID, c users.Change) bson.D {
	filter := bson.D{{Key: "_id", Value: id}}
	switch {
	case c.IfVersion == nil:
		return filter
	case *c.IfVersion == 0:
		return append(filter, bson.E{Key: "version", Value: bson.D{{Key: "$in", Value: bson.A{nil, int64(0)}}}})
	default:
		return append(filter, bson.E{Key: "version", Value: *c.IfVersion})
	}
}

func changing(c users.Change) bson.D {
	var set bson.D
	if c.Name != nil {
		set = append(set, bson.E{Key: "name", Value: *c.Name})
	}
	if c.Bio != nil {
		set = append(set, bson.E{Key: "bio", Value: *c.Bio})
	}
	return bson.D{
		{Key: "$set", Value: set},
		{Key: "$inc", Value: bson.D{{Key: "version", Value: int64(1)}}},
	}
}

// Get implements users.Store.
func (s *Store) Get(ctx context.Context, id string) (users.User, error) {
	oid, err := bson.ObjectIDFromHex(id)
	if err != nil {
		return users.User{}, users.ErrNotFound
	}
	return s.one(ctx, bson.D{{Key: "_id", Value: oid}}, "get user "+id)
}

// ByEmail implements users.Store.
func (s *Store) ByEmail(ctx context.Context, email string) (users.User, error) {
	return s.one(ctx, bson.D{{Key: "email", Value: email}}, "get a user by e-mail")
}

func (s *Store) one(ctx context.Context, filter bson.D, what string) (users.User, error) {
	var u users.User
	found, err := s.queryUnfenced(ctx, func() (found bool, err error) {
		err = s.do(ctx, what, func(ctx context.Context, coll *mongo.Collection) error {
			found, err = read(coll.FindOne(ctx, filter), &u)
			return err
		})
		return found, err
	})
	if err == nil && !found {
		err = users.ErrNotFound
	}
	return u, err
}

// GetMany implements users.Store.
func (s *Store) GetMany(ctx context.Context, ids []string) ([]users.User, error) {
	oids := make([]bson.ObjectID, 0, len(ids))
	for _, id := range ids {
		if oid, err := bson.ObjectIDFromHex(id); err == nil {
			oids = append(oids, oid)
		}
	}
	var all []users.User
	_, err := s.queryUnfenced(ctx, func() (found bool, err error) {
		all, err = s.find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: oids}}}}, options.Find())
		return len(all) == len(ids), err
	})
	return all, err
}

// List implements users.Store, in the order of ids.
func (s *Store) List(ctx context.Context, from users.Cursor, limit int) ([]users.User, users.Cursor, error) {
	if from.Key != "" {
		return nil, users.Cursor{}, fmt.Errorf("go on behind %s, which is the order of another store: %w", from.Key, users.ErrCursor)
	}
	filter := bson.D{}
	if after, err := bson.ObjectIDFromHex(from.After); err == nil {
		filter = bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: after}}}}
	}
	var page []users.User
	_, err := s.queryUnfenced(ctx, func() (found bool, err error) {
		page, err = s.find(ctx, filter, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(int64(limit)))
		return len(page) > 0, err
	})
	if err != nil || len(page) < limit {
		return page, users.Cursor{}, err
	}
	return page, users.Cursor{After: page[len(page)-1].ID}, nil
}

func (s *Store) find(ctx context.Context, filter bson.D, o *options.FindOptionsBuilder) (all []users.User, err error) {
	err = s.do(ctx, "find users", func(ctx context.Context, coll *mongo.Collection) error {
		cursor, err := coll.Find(ctx, filter, o)
		if err != nil {
			return err
		}
		defer func() { _ = cursor.Close(ctx) }()
		all = nil
		for cursor.Next(ctx) {
			all = append(all, decode(cursor.Current))
		}
		return cursor.Err()
	})
	return all, err
}

// queryUnfenced runs a query, and believes that it found nothing only if the
// collection was the same one before and after it looked. Otherwise a fence is
// being put up or taken down: ErrFenced.
func (s *Store) queryUnfenced(ctx context.Context, query func() (bool, error)) (bool, error) {
	found, err := query()
	for range 3 {
		if found || err != nil {
			return found, err
		}
		var before, after string
		if before, err = s.namespace(ctx); err != nil {
			return false, err
		}
		if found, err = query(); found || err != nil {
			return found, err
		}
		if after, err = s.namespace(ctx); err != nil {
			return false, err
		}
		if before == after && before != absentFenced {
			return false, nil
		}
	}
	return false, fmt.Errorf("%s is being fenced: %w", Collection, ownership.ErrFenced)
}

// absentFenced is the namespace of users while only its fenced name is there.
const absentFenced = "fenced"

// namespace identifies what is called "users" at present.
func (s *Store) namespace(ctx context.Context) (name string, err error) {
	err = s.do(ctx, "list collections", func(ctx context.Context, coll *mongo.Collection) error {
		specs, err := coll.Database().ListCollectionSpecifications(ctx, bson.D{})
		name = namespaceIn(specs)
		return err
	})
	return name, err
}

func namespaceIn(specs []mongo.CollectionSpecification) string {
	name := "absent"
	for _, spec := range specs {
		if spec.Name == Collection {
			name = spec.Type
			if spec.UUID != nil {
				name += fmt.Sprintf("-%x", spec.UUID.Data)
			}
			return name
		}
		if strings.HasPrefix(spec.Name, fencedPrefix) {
			name = absentFenced
		}
	}
	return name
}

// wrap adds what was attempted, and ErrFenced where the server refused because the
// collection is fenced, or was while a query ran.
func wrap(err error, what string) error {
	if err == nil {
		return nil
	}
	if mongoerr.HasCode(err, mongoerr.CommandNotSupportedOnView, mongoerr.NamespaceNotFound, mongoerr.QueryPlanKilled, mongoerr.CursorNotFound) {
		return fmt.Errorf("%s in MongoDB: %w: %w", what, ownership.ErrFenced, err)
	}
	return fmt.Errorf("%s in MongoDB: %w", what, err)
}
