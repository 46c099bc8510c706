package mongodb_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/social/users"
	"github.com/banyan-fig/banyan/services/social/users/mongodb"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newStore(t *testing.T) (*mongo.Database, *mongodb.Store) {
	t.Helper()
	db := userstest.Mongo(t)
	store := mongodb.New(mongoclient.Of(db))
	if err := store.EnsureIndexes(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db, store
}

func TestConformance(t *testing.T) {
	_, store := newStore(t)
	userstest.Run(t, store)
}

// twice runs every operation again, as if its outcome had been lost.
type twice struct{ mongodb.Database }

func (t twice) Do(ctx context.Context, op func(context.Context, *mongo.Database) error) error {
	return t.Database.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
		_ = op(ctx, db)
		return op(ctx, db)
	})
}

// TestRepeated: an operation that is repeated though it was done the first time is
// done once, and tells so.
func TestRepeated(t *testing.T) {
	store := mongodb.New(twice{mongoclient.Of(userstest.Mongo(t))})
	if err := store.EnsureIndexes(t.Context()); err != nil {
		t.Fatal(err)
	}
	u := userstest.User(1)
	if got, created, err := store.Create(t.Context(), 1, u); err != nil || !created || got != u {
		t.Errorf("create: %+v, %v, %v", got, created, err)
	}
	again := u
	again.PasswordHash = "with another salt"
	if got, created, err := store.Create(t.Context(), 1, again); err != nil || created || got != u {
		t.Errorf("create what is there: %+v, %v, %v", got, created, err)
	}
	u.Name, u.Version = "renamed", 2
	if got, err := store.Update(t.Context(), 1, u.ID, users.Change{Name: &u.Name}); err != nil || got != u {
		t.Errorf("update: %+v, %v", got, err)
	}
	before := u.Version
	u.Bio, u.Version = "new", 3
	if got, err := store.Update(t.Context(), 1, u.ID, users.Change{Bio: &u.Bio, IfVersion: &before}); err != nil || got != u {
		t.Errorf("update of a version: %+v, %v", got, err)
	}
	if _, err := store.Update(t.Context(), 1, userstest.User(9).ID, users.Change{Bio: &u.Bio}); !errors.Is(err, users.ErrNotFound) {
		t.Errorf("update of nobody: %v", err)
	}
	if got, _, err := store.List(t.Context(), users.Cursor{}, 10); err != nil || len(got) != 1 || got[0] != u {
		t.Errorf("list: %+v, %v", got, err)
	}
}

// Documents of former years lack fields, or have them in other types.
func TestOldDocuments(t *testing.T) {
	db, store := newStore(t)
	id, _ := bson.ObjectIDFromHex(userstest.User(1).ID)
	created := time.Unix(0x59b99db4, 0).UTC()
	for name, doc := range map[string]bson.D{
		"bare":        {},
		"null":        {{Key: "version", Value: nil}, {Key: "bio", Value: nil}},
		"other types": {{Key: "version", Value: int32(0)}, {Key: "bio", Value: 3}, {Key: "createdAt", Value: "yesterday"}},
	} {
		t.Run(name, func(t *testing.T) {
			doc = append(bson.D{
				{Key: "_id", Value: id}, {Key: "name", Value: "Ned"}, {Key: "email", Value: "n@x.y"},
				{Key: "password", Value: "h"}, {Key: "age", Value: int32(3)},
			}, doc...)
			if _, err := db.Collection("users").ReplaceOne(t.Context(), bson.D{{Key: "_id", Value: id}}, doc); err != nil {
				t.Fatal(err)
			}
			if n, _ := db.Collection("users").CountDocuments(t.Context(), bson.D{}); n == 0 {
				if _, err := db.Collection("users").InsertOne(t.Context(), doc); err != nil {
					t.Fatal(err)
				}
			}
			want := users.User{ID: id.Hex(), Name: "Ned", Email: "n@x.y", PasswordHash: "h", CreatedAt: created}
			if got, err := store.Get(t.Context(), id.Hex()); err != nil || got != want {
				t.Fatalf("Get = %+v, %v; want %+v", got, err, want)
			}
			if name == "null" {
				return // $inc refuses null, as the server does
			}
			zero, bio := int64(0), "B"
			got, err := store.Update(t.Context(), 1, id.Hex(), users.Change{Bio: &bio, IfVersion: &zero})
			if err != nil || got.Version != 1 {
				t.Errorf("Update of version 0 = %+v, %v", got, err)
			}
			raw, _ := db.Collection("users").FindOne(t.Context(), bson.D{}).Raw()
			if raw.Lookup("age").Type != bson.TypeInt32 {
				t.Error("the update lost a field that the service does not know")
			}
		})
	}
}

func fence(t *testing.T, db *mongo.Database, steps int) {
	t.Helper()
	admin := db.Client().Database("admin")
	rename := bson.D{{Key: "renameCollection", Value: "legacy.users"}, {Key: "to", Value: "legacy.users__banyan_e1"}}
	if err := admin.RunCommand(t.Context(), rename).Err(); err != nil {
		t.Fatal(err)
	}
	if steps > 1 {
		if err := db.CreateView(t.Context(), "users", "users__banyan_e1", mongo.Pipeline{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFencedCollectionRefusesWrites(t *testing.T) {
	db, store := newStore(t)
	u := userstest.User(1)
	if _, _, err := store.Create(t.Context(), 1, u); err != nil {
		t.Fatal(err)
	}
	fence(t, db, 2)
	name := "late"
	if _, err := store.Update(t.Context(), 1, u.ID, users.Change{Name: &name}); !errors.Is(err, ownership.ErrFenced) {
		t.Errorf("update = %v, want ErrFenced", err)
	}
	if _, _, err := store.Create(t.Context(), 1, userstest.User(2)); !errors.Is(err, ownership.ErrFenced) {
		t.Errorf("create = %v, want ErrFenced", err)
	}
	if got, err := store.Get(t.Context(), u.ID); err != nil || got.Name != u.Name {
		t.Errorf("reads go on through the view: got %+v, %v", got, err)
	}
	if _, err := store.Get(t.Context(), userstest.User(9).ID); !errors.Is(err, users.ErrNotFound) {
		t.Errorf("get of nobody through the view = %v, want ErrNotFound", err)
	}
}

// While the collection is renamed and the view not there yet, nothing may be
// called absent.
func TestHalfFencedCollectionIsNotEmpty(t *testing.T) {
	db, store := newStore(t)
	u := userstest.User(1)
	if _, _, err := store.Create(t.Context(), 1, u); err != nil {
		t.Fatal(err)
	}
	fence(t, db, 1)
	name := "late"
	checks := map[string]func(context.Context) error{
		"get":      func(ctx context.Context) error { _, err := store.Get(ctx, u.ID); return err },
		"get many": func(ctx context.Context) error { _, err := store.GetMany(ctx, []string{u.ID}); return err },
		"by email": func(ctx context.Context) error { _, err := store.ByEmail(ctx, u.Email); return err },
		"list":     func(ctx context.Context) error { _, _, err := store.List(ctx, users.Cursor{}, 10); return err },
		"update": func(ctx context.Context) error {
			_, err := store.Update(ctx, 1, u.ID, users.Change{Name: &name})
			return err
		},
	}
	for what, check := range checks {
		if err := check(t.Context()); !errors.Is(err, ownership.ErrFenced) {
			t.Errorf("%s = %v, want ErrFenced", what, err)
		}
	}
}
