package mongodb_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// mismatch is what error 361 tells, whether of the command or of its first write.
type mismatch struct {
	Code        int
	DB          string
	Expected    string      `bson:"expectedCollection"`
	Actual      *string     `bson:"actualCollection"`
	UUID        bson.Binary `bson:"collectionUUID"`
	WriteErrors []mismatch  `bson:"writeErrors"`
}

// run sends a command and gives the answer also where it is an error.
func run(t *testing.T, db *mongo.Database, command bson.D) bson.Raw {
	t.Helper()
	reply, err := db.RunCommand(t.Context(), command).Raw()
	var failed mongo.CommandError
	var writes mongo.WriteException
	switch {
	case errors.As(err, &failed):
		return failed.Raw
	case errors.As(err, &writes):
		return writes.Raw
	}
	do(t, err)
	return reply
}

func mismatchOf(t *testing.T, reply bson.Raw) mismatch {
	t.Helper()
	var m mismatch
	do(t, bson.Unmarshal(reply, &m))
	if len(m.WriteErrors) > 0 {
		return m.WriteErrors[0]
	}
	return m
}

// uuidOf is a collection's UUID as listCollections shows it.
func uuidOf(t *testing.T, db *mongo.Database, name string) bson.Binary {
	t.Helper()
	specs, err := db.ListCollectionSpecifications(t.Context(), bson.D{{Key: "name", Value: name}})
	do(t, err)
	if len(specs) != 1 || specs[0].UUID == nil || specs[0].UUID.Subtype != 4 {
		t.Fatalf("%s is listed as %+v, without a UUID", name, specs)
	}
	return *specs[0].UUID
}

// commandsWithUUID are all that take a collectionUUID, on a collection of a name;
// those that destroy it come last.
func commandsWithUUID(db, name string) []bson.D {
	set := bson.D{{Key: "$set", Value: bson.D{{Key: "a", Value: 1}}}}
	return []bson.D{
		{{Key: "insert", Value: name}, {Key: "documents", Value: bson.A{bson.D{}}}},
		{{Key: "update", Value: name}, {Key: "updates", Value: bson.A{bson.D{{Key: "q", Value: bson.D{}}, {Key: "u", Value: set}, {Key: "upsert", Value: true}}}}},
		{{Key: "delete", Value: name}, {Key: "deletes", Value: bson.A{bson.D{{Key: "q", Value: bson.D{}}, {Key: "limit", Value: 0}}}}},
		{{Key: "find", Value: name}},
		{{Key: "aggregate", Value: name}, {Key: "pipeline", Value: bson.A{}}, {Key: "cursor", Value: bson.D{}}},
		{{Key: "collMod", Value: name}},
		{{Key: "createIndexes", Value: name}, {Key: "indexes", Value: bson.A{bson.D{{Key: "key", Value: bson.D{{Key: "a", Value: 1}}},
			{Key: "name", Value: "a_1"}}}}},
		{{Key: "dropIndexes", Value: name}, {Key: "index", Value: "*"}},
		{{Key: "renameCollection", Value: db + "." + name}, {Key: "to", Value: db + ".renamed"}},
		{{Key: "drop", Value: name}},
	}
}

func (s *suite) at(db *mongo.Database, command bson.D) *mongo.Database {
	if command[0].Key == "renameCollection" {
		return s.client.Database("admin")
	}
	return db
}

func testCollectionUUIDs(t *testing.T, s *suite) {
	db := s.collection(t, `{"_id": 1}`).Database()
	ctx := t.Context()
	do(t, db.CreateCollection(ctx, "other"))
	do(t, db.CreateView(ctx, "view", "things", bson.A{}))
	id, unknown, other := uuidOf(t, db, "things"), bson.Binary{Subtype: 4, Data: slices.Repeat([]byte{7}, 16)}, "things"
	for name, given := range map[string]struct {
		id     bson.Binary
		actual *string
	}{"things": {unknown, nil}, "other": {id, &other}, "view": {id, &other}, "never": {id, &other}} {
		for _, c := range commandsWithUUID(db.Name(), name) {
			m := mismatchOf(t, run(t, s.at(db, c), append(c, bson.E{Key: "collectionUUID", Value: given.id})))
			if m.Code != 361 || m.DB != db.Name() || m.Expected != name || !m.UUID.Equal(given.id) || (m.Actual == nil) != (given.actual == nil) ||
				m.Actual != nil && *m.Actual != *given.actual {
				t.Errorf("%s with the UUID of another: %+v", c, m)
			}
		}
	}
	elsewhere := s.database(t)
	if m := mismatchOf(t, run(t, elsewhere, bson.D{{Key: "find", Value: "things"}, {Key: "collectionUUID", Value: id}})); m.Code != 361 || m.Actual != nil {
		t.Errorf("a UUID of another database: %+v", m)
	}
	if names, err := db.ListCollectionNames(ctx, bson.D{}); err != nil || slices.Contains(names, "never") {
		t.Errorf("a refused command has made a collection: %v, %v", names, err)
	}
	for _, c := range commandsWithUUID(db.Name(), "things") {
		if c[0].Key == "drop" {
			c[0].Value = "renamed"
		}
		if r := run(t, s.at(db, c), append(c, bson.E{Key: "collectionUUID", Value: id})); r.Lookup("ok").AsFloat64() != 1 || mismatchOf(t, r).Code != 0 {
			t.Errorf("%s with its own UUID: %s", c, r)
		}
	}
	testUUIDRefused(t, s, db)
}

// testUUIDRefused has the commands that take no UUID, and renames with that of
// the target.
func testUUIDRefused(t *testing.T, s *suite, db *mongo.Database) {
	ctx := t.Context()
	do(t, db.CreateCollection(ctx, "a"))
	do(t, db.CreateCollection(ctx, "b"))
	a, b := uuidOf(t, db, "a"), uuidOf(t, db, "b")
	code(t, db.RunCommand(ctx, bson.D{{Key: "findAndModify", Value: "a"}, {Key: "remove", Value: true}, {Key: "collectionUUID", Value: a}}).Err(), 40415)
	code(t, db.RunCommand(ctx, bson.D{{Key: "find", Value: "a"}, {Key: "collectionUUID", Value: "text"}}).Err(), 14)
	rename := bson.D{{Key: "renameCollection", Value: db.Name() + ".a"}, {Key: "to", Value: db.Name() + ".b"}, {Key: "dropTarget", Value: a}}
	if m := mismatchOf(t, run(t, s.client.Database("admin"), rename)); m.Code != 361 || m.Expected != "b" || m.Actual == nil || *m.Actual != "a" {
		t.Errorf("a rename onto another target: %+v", m)
	}
	rename[2].Value = b
	do(t, s.client.Database("admin").RunCommand(ctx, rename).Err())
	if !uuidOf(t, db, "b").Equal(a) {
		t.Error("a rename has changed the UUID")
	}
}

// testUUIDUnderRenames: what a writer does by name and UUID, while the collection
// goes from name to name, is in the collection or refused, and never elsewhere.
func testUUIDUnderRenames(t *testing.T, s *suite) {
	db := s.collection(t, `{"_id": "first"}`).Database()
	ctx, id := t.Context(), uuidOf(t, db, "things")
	const writers, each = 3, 60
	var wg sync.WaitGroup
	var mu sync.Mutex
	acknowledged := 1
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				err := db.RunCommand(ctx, bson.D{{Key: "insert", Value: "things"}, {Key: "documents", Value: bson.A{bson.D{{Key: "_id", Value: w*each + i}}}},
					{Key: "collectionUUID", Value: id}}).Err()
				if err != nil {
					code(t, err, 361)
					continue
				}
				mu.Lock()
				acknowledged++
				mu.Unlock()
			}
		})
	}
	for range 20 {
		do(t, s.rename(ctx, db, "things", "moved", false))
		do(t, s.rename(ctx, db, "moved", "things", false))
	}
	wg.Wait()
	if n, err := db.Collection("things").CountDocuments(ctx, bson.D{}); err != nil || int(n) != acknowledged {
		t.Errorf("%d documents after %d were acknowledged: %v", n, acknowledged, err)
	}
	if names, err := db.ListCollectionNames(ctx, bson.D{}); err != nil || len(names) != 1 {
		t.Errorf("collections %v, %v", names, err)
	}
}

// testRenameWaits: a rename waits for a transaction that holds the collection, at
// most its maxTimeMS.
func testRenameWaits(t *testing.T, s *suite) {
	db := s.collection(t, `{"_id": 1}`).Database()
	ctx := t.Context()
	session, err := s.client.StartSession()
	do(t, err)
	defer session.EndSession(context.Background())
	in := mongo.NewSessionContext(ctx, session)
	do(t, session.StartTransaction())
	do(t, db.Collection("things").FindOne(in, bson.D{}).Err())
	rename := bson.D{{Key: "renameCollection", Value: db.Name() + ".things"}, {Key: "to", Value: db.Name() + ".moved"}, {Key: "maxTimeMS", Value: 50}}
	code(t, s.client.Database("admin").RunCommand(ctx, rename).Err(), 50)
	_, err = db.Collection("things").InsertOne(in, bson.D{{Key: "_id", Value: 2}})
	do(t, err)
	renamed := make(chan error, 1)
	go func() { renamed <- s.client.Database("admin").RunCommand(ctx, rename[:2]).Err() }()
	do(t, session.CommitTransaction(ctx))
	do(t, <-renamed)
	if got := ids(t, db.Collection("moved"), bson.D{}); got != "1 2" {
		t.Errorf("after the transaction and the rename: %s", got)
	}
}
