package monolith_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/crypto/bcrypt"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/services/social/monolith"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

func TestImport(t *testing.T) {
	const good = `{"_id":{"$oid":"59b99db4cfa9a34dcd7885b6"},"name":"Ned","email":"n@x.y","password":"h",` +
		`"age":{"$numberInt":"3"},"since":{"$date":{"$numberLong":"-5"}}}`
	const second = `{"_id":{"$oid":"59b99db4cfa9a34dcd7885b7"},"name":"Robb","email":"r@x.y","password":"h","since":{"$date":"2020-01-01T00:00:00Z"}}`
	for _, c := range []struct {
		name, text string
		imported   int64
		bad        []string
		err        error
	}{
		{"lines", good + "\n\n" + second + "\n", 2, nil, nil},
		{"lines without an end, with a mark", "\xef\xbb\xbf" + good + "\r\n" + second, 2, nil, nil},
		{"array", "\n[\n" + good + ",\n" + second + "\n]\n", 2, nil, nil},
		{"empty", " \n", 0, nil, nil},
		{"empty array", "[]", 0, nil, nil},
		{"a bad line", good + "\n{\"_id\n" + second, 2, []string{"f.json:2: not JSON at column"}, nil},
		{"no document", "3\n" + good, 1, []string{"f.json:1: a document was expected"}, nil},
		{"not extended JSON", `{"_id":{"$oid":"zz"}}` + "\n" + good, 1, []string{"f.json:1: not extended JSON"}, nil},
		{"another id", `{"_id":7,"name":"a","email":"e","password":"p"}`, 0, []string{"f.json:1: _id must be an ObjectId"}, nil},
		{"no e-mail", "[" + good + ",\n" + `{"_id":{"$oid":"59b99db4cfa9a34dcd7885b8"},"name":"a"}]`, 1, []string{"f.json:2: email must be a text"}, nil},
		{"twice", strings.Replace(good, `"age"`, `"name"`, 1), 0, []string{`f.json:1: the field "name" is there twice`}, nil},
		{"same e-mail", good + "\n" + strings.Replace(second, "r@x.y", "n@x.y", 1), 1, []string{"f.json:2: another user has the email"}, nil},
		{"same id", good + "\n" + strings.Replace(second, "b7", "b6", 1), 1, []string{"f.json:2: a different user has the _id"}, nil},
		{"broken array", "[\n" + good + ",\n{\"a\" 1}]", 1, nil, monolith.ErrFile},
		{"unfinished array", "[" + good, 1, nil, monolith.ErrFile},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := userstest.Mongo(t)
			var bad []string
			collect := func(b *monolith.BadDocument) { bad = append(bad, b.Error()) }
			sum, err := monolith.Import(t.Context(), mongoclient.Of(db), "f.json", strings.NewReader(c.text), collect)
			if !errors.Is(err, c.err) || sum.Imported != c.imported || len(bad) != len(c.bad) || sum.Bad != int64(len(bad)) {
				t.Fatalf("Import = %+v, %v, bad %q", sum, err, bad)
			}
			for i, b := range c.bad {
				if !strings.HasPrefix(bad[i], b) {
					t.Errorf("bad document %q, want %q", bad[i], b)
				}
			}
			n, err := db.Collection("users").CountDocuments(t.Context(), bson.D{})
			if err != nil || n != c.imported {
				t.Errorf("%d users are there, %v; want %d", n, err, c.imported)
			}
		})
	}
}

func TestImportKeepsTypes(t *testing.T) {
	db := userstest.Mongo(t)
	text := `{"_id":{"$oid":"59b99db4cfa9a34dcd7885b6"},"name":"Ned","email":"n@x.y","password":"h",` +
		`"a":{"$numberInt":"3"},"b":{"$numberDecimal":"1.10"},"c":{"$date":{"$numberLong":"-5"}}}`
	for range 2 {
		sum, err := monolith.Import(t.Context(), mongoclient.Of(db), "f", strings.NewReader(text), func(b *monolith.BadDocument) { t.Error(b) })
		if err != nil || sum.Imported+sum.AlreadyThere != 1 {
			t.Fatalf("Import = %+v, %v", sum, err)
		}
	}
	doc, err := db.Collection("users").FindOne(t.Context(), bson.D{}).Raw()
	if err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]bson.Type{"a": bson.TypeInt32, "b": bson.TypeDecimal128, "c": bson.TypeDateTime} {
		if got := doc.Lookup(field).Type; got != want {
			t.Errorf("%s is %s, want %s", field, got, want)
		}
	}
}

// TestImportSample loads MongoDB's public sample where it is at hand.
func TestImportSample(t *testing.T) {
	file, err := os.Open(os.Getenv("BANYAN_SAMPLE_USERS"))
	if err != nil {
		t.Skip("BANYAN_SAMPLE_USERS names no file")
	}
	defer func() { _ = file.Close() }()
	sum, err := monolith.Import(t.Context(), mongoclient.Of(userstest.Mongo(t)), file.Name(), file, func(b *monolith.BadDocument) { t.Error(b) })
	if err != nil || sum.Imported == 0 {
		t.Errorf("Import = %+v, %v", sum, err)
	}
}

func FuzzImport(f *testing.F) {
	for _, seed := range []string{"", "[]", "[{}]", "{}\n{}", `[{"_id":{"$oid":"59b99db4cfa9a34dcd7885b6"}}`, "{\"a\":1}\n[", "[1,\n2]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Count(text, "\n") + 1
		err := monolith.CheckExport("f", strings.NewReader(text), func(b *monolith.BadDocument) {
			if b.Line < 1 || b.Line > lines {
				t.Errorf("line %d of %d: %v", b.Line, lines, b)
			}
		})
		if err != nil && !errors.Is(err, monolith.ErrFile) {
			t.Errorf("error %v", err)
		}
	})
}

func TestGenerateAndSnapshot(t *testing.T) {
	w := newWorld(t, 1)
	cfg := monolith.GenerateConfig{Users: 1200, FollowsPerUser: 2, PostsPerUser: 0.3, Seed: 5}
	var made monolith.Generated
	for range 2 { // the second time changes nothing
		var err error
		if made, err = monolith.Generate(t.Context(), mongoclient.Of(w.db), cfg); err != nil {
			t.Fatal(err)
		}
	}
	if want := (monolith.Generated{Users: 1200, Follows: 2400, Posts: 360}); made != want {
		t.Errorf("Generate = %+v, want %+v", made, want)
	}
	for name, want := range map[string]int64{"users": 1200, "follows": 2400, "posts": 360} {
		if n, err := w.db.Collection(name).CountDocuments(t.Context(), bson.D{}); err != nil || n != want {
			t.Errorf("%d %s, %v; want %d", n, name, err, want)
		}
	}
	doc, err := w.db.Collection("users").FindOne(t.Context(), bson.D{}).Raw()
	if err != nil || bcrypt.CompareHashAndPassword([]byte(doc.Lookup("password").StringValue()), []byte(monolith.GeneratedPassword)) != nil {
		t.Errorf("the password of generated users is not %q (%v)", monolith.GeneratedPassword, err)
	}
	told, err := monolith.Snapshot(t.Context(), monolith.SnapshotConfig{
		Database: mongoclient.Of(w.db), Users: monolith.CollectionLister{Database: mongoclient.Of(w.db)},
		Enqueue: func(ctx context.Context, e events.Event) (func(context.Context) error, error) {
			kept, err := w.stream.Publisher.Enqueue(ctx, e)
			if err != nil {
				return nil, err
			}
			return func(ctx context.Context) error { _, err := kept.Wait(ctx); return err }, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if told.Users != 1200 || told.Follows != 2400 || told.Posts != 360 || told.Events != 1200+400+2400+360 {
		t.Errorf("Snapshot = %+v", told)
	}
	w.checkOrder(told.Events)
}

// checkOrder checks that each user joined before they did anything.
func (w *world) checkOrder(want int64) {
	w.t.Helper()
	rank := map[string]int{"user.joined": 1, "user.profile-updated": 2, "relationship.followed": 3, "post.published": 4}
	reached := map[string]int{}
	all := w.stream.Events()
	if int64(len(all)) != want {
		w.t.Errorf("%d events are on the stream, want %d", len(all), want)
	}
	for _, e := range all {
		if r := rank[e.Type]; r < reached[e.PartitionKey] || reached[e.PartitionKey] == 0 && r != 1 {
			w.t.Errorf("%s of %s came after rank %d", e.Type, e.PartitionKey, reached[e.PartitionKey])
		} else {
			reached[e.PartitionKey] = r
		}
	}
}
