package mongodb_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// event is what tests look at in a change event.
type event struct {
	ID     bson.Raw       `bson:"_id"`
	Type   string         `bson:"operationType"`
	Time   bson.Timestamp `bson:"clusterTime"`
	Wall   time.Time      `bson:"wallTime"`
	Full   bson.Raw       `bson:"fullDocument"`
	Before bson.Raw       `bson:"fullDocumentBeforeChange"`
	Key    bson.Raw       `bson:"documentKey"`
	NS     struct{ DB, Coll string }
	To     struct{ DB, Coll string }
	Update struct {
		Updated   bson.Raw `bson:"updatedFields"`
		Removed   []string `bson:"removedFields"`
		Truncated []bson.D `bson:"truncatedArrays"`
	} `bson:"updateDescription"`
}

type watcher interface {
	Watch(context.Context, any, ...options.Lister[options.ChangeStreamOptions]) (*mongo.ChangeStream, error)
}

func watch(t *testing.T, w watcher, pipeline string, opts *options.ChangeStreamOptionsBuilder) *mongo.ChangeStream {
	t.Helper()
	var p bson.A
	if err := bson.UnmarshalExtJSON([]byte(pipeline), false, &p); err != nil {
		t.Fatal(err)
	}
	cs, err := w.Watch(t.Context(), p, opts)
	if err != nil {
		t.Fatalf("watching: %v", err)
	}
	t.Cleanup(func() { cs.Close(context.Background()) })
	return cs
}

func next(t *testing.T, cs *mongo.ChangeStream) event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var e event
	if !cs.Next(ctx) {
		t.Fatalf("no more events: %v", cs.Err())
	}
	if err := cs.Decode(&e); err != nil {
		t.Fatal(err)
	}
	return e
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// some writes to one collection, one after the other.
func writeSome(t *testing.T, coll *mongo.Collection) {
	t.Helper()
	ctx, one := t.Context(), parse(t, `{"_id": 1}`)
	_, err := coll.InsertOne(ctx, parse(t, `{"_id": 1, "a": 1}`))
	do(t, err)
	_, err = coll.UpdateOne(ctx, one, parse(t, `{"$set": {"b": 2}}`))
	do(t, err)
	_, err = coll.ReplaceOne(ctx, one, parse(t, `{"c": 3}`))
	do(t, err)
	_, err = coll.DeleteOne(ctx, one)
	do(t, err)
}

func testChangeStreams(t *testing.T, s *suite) {
	coll := s.collection(t, `{"_id": 0}`)
	cs := watch(t, coll, `[]`, options.ChangeStream())
	writeSome(t, coll)
	var last event
	for i, want := range []string{"insert", "update", "replace", "delete"} {
		e := next(t, cs)
		if e.Type != want || e.NS.Coll != "things" || show(t, e.Key) != `{"_id":1}` {
			t.Errorf("event %d is %s of %s in %s, want %s", i, e.Type, e.Key, e.NS.Coll, want)
		}
		if i > 0 && !e.Time.After(last.Time) && s.peer != "mongo-java-server" {
			t.Errorf("event %d has the time %v after %v", i, e.Time, last.Time)
		}
		if a, b := token(last), token(e); i > 0 && a >= b && s.peer != "mongo-java-server" {
			t.Errorf("resume token %s after %s", b, a)
		}
		if (e.Full != nil) != (want == "insert" || want == "replace") {
			t.Errorf("%s has the full document %s", want, e.Full)
		}
		last = e
	}
	if s.peer == "mongo-java-server" {
		return // no stages after $changeStream
	}
	filtered := watch(t, coll, `[{"$match": {"operationType": "delete"}}, {"$project": {"documentKey": 1, "operationType": 1}}]`, options.ChangeStream())
	writeSome(t, coll)
	if e := next(t, filtered); e.Type != "delete" || e.NS.Coll != "" {
		t.Errorf("matched and projected: %+v", e)
	}
}

func token(e event) string {
	s, _ := e.ID.Lookup("_data").StringValueOK()
	return s
}

func testDescriptions(t *testing.T, s *suite) {
	coll := s.collection(t, `{"_id": 1, "a": {"x": 1}, "l": ["an array that is longer", "than what says how it changed", 3], "n": 1}`)
	cs := watch(t, coll, `[]`, options.ChangeStream().SetFullDocument(options.UpdateLookup))
	for _, c := range []struct {
		update, updated, removed, truncated string
	}{
		{`{"$set": {"a.x": 2, "z.y": 1}}`, `{"a.x":2,"z":{"y":1}}`, "[]", "[]"},
		{`{"$unset": {"n": ""}, "$inc": {"m": 1}}`, `{"m":1}`, "[n]", "[]"},
		{`{"$push": {"l": 4}}`, `{"l.3":4}`, "[]", "[]"},
		{`[{"$set": {"l": {"$literal": ["an array that is longer", 9]}}}]`, `{"l.1":9}`, "[]", `[[{"Key":"field","Value":"l"},{"Key":"newSize","Value":2}]]`},
	} {
		u := parse(t, `{"u": `+c.update+`}`)[0].Value
		_, err := coll.UpdateOne(t.Context(), bson.D{}, u)
		do(t, err)
		e := next(t, cs)
		if got := sorted(t, e.Update.Updated); got != sorted(t, raw(t, c.updated)) {
			t.Errorf("%s: updated %s, want %s", c.update, got, c.updated)
		}
		if got := text(e.Update.Removed); got != c.removed {
			t.Errorf("%s: removed %s, want %s", c.update, got, c.removed)
		}
		if (len(e.Update.Truncated) > 0) != (c.truncated != "[]") {
			t.Errorf("%s: truncated %v, want %s", c.update, e.Update.Truncated, c.truncated)
		}
		if len(e.Full) == 0 {
			t.Errorf("%s: no document looked up", c.update)
		}
	}
	if _, err := coll.UpdateOne(t.Context(), bson.D{}, parse(t, `{"$set": {"m": 1}}`)); err != nil {
		t.Fatal(err)
	}
	_, err := coll.DeleteOne(t.Context(), bson.D{})
	do(t, err)
	if e := next(t, cs); e.Type != "delete" {
		t.Errorf("an update that changed nothing was told: %+v", e)
	}
}

func testResume(t *testing.T, s *suite) {
	coll := s.collection(t, `{"_id": 0}`)
	cs := watch(t, coll, `[]`, options.ChangeStream())
	writeSome(t, coll)
	inserted := next(t, cs)
	for name, opts := range map[string]*options.ChangeStreamOptionsBuilder{
		"resumeAfter":          options.ChangeStream().SetResumeAfter(inserted.ID),
		"startAfter":           options.ChangeStream().SetStartAfter(inserted.ID),
		"startAtOperationTime": options.ChangeStream().SetStartAtOperationTime(&inserted.Time),
	} {
		again := watch(t, coll, `[]`, opts)
		want := "update"
		if name == "startAtOperationTime" {
			want = "insert"
		}
		if e := next(t, again); e.Type != want {
			t.Errorf("%s goes on with %s, want %s", name, e.Type, want)
		}
	}
	_, err := coll.Watch(t.Context(), mongo.Pipeline{}, options.ChangeStream().SetResumeAfter(parse(t, `{"_data": "nonsense"}`)))
	if err == nil {
		t.Error("nonsense was accepted as a resume token")
	}
	s.part(t, "times before the oplog", func(t *testing.T) {
		_, err := coll.Watch(t.Context(), mongo.Pipeline{}, options.ChangeStream().SetStartAtOperationTime(&bson.Timestamp{T: 1, I: 1}))
		code(t, err, 286)
	})
}

func testStreamWaits(t *testing.T, s *suite) {
	coll := s.collection(t, `{"_id": 0}`)
	ctx := t.Context()
	cs := watch(t, coll, `[]`, options.ChangeStream().SetMaxAwaitTime(300*time.Millisecond))
	s.part(t, "tokens of a quiet stream", func(t *testing.T) { testQuietStream(t, coll, cs) })
	go func() {
		time.Sleep(50 * time.Millisecond)
		coll.InsertOne(ctx, parse(t, `{"_id": 1}`))
	}()
	if e := next(t, cs); e.Type != "insert" {
		t.Errorf("woke up with %s", e.Type)
	}
	if again := watch(t, coll, `[]`, options.ChangeStream().SetResumeAfter(cs.ResumeToken()).SetMaxAwaitTime(time.Millisecond)); again.TryNext(ctx) {
		t.Error("the resumed stream repeats the last event")
	}
}

func testQuietStream(t *testing.T, coll *mongo.Collection, cs *mongo.ChangeStream) {
	ctx := t.Context()
	before := cs.ResumeToken().Lookup("_data").StringValue()
	_, err := coll.Database().Collection("other").InsertOne(ctx, bson.D{})
	do(t, err)
	cs.TryNext(ctx) // the driver looks at the first batch, which came with the cursor
	start := time.Now()
	if cs.TryNext(ctx) {
		t.Error("an event of another collection was given")
	}
	if waited := time.Since(start); waited < 200*time.Millisecond {
		t.Errorf("an empty getMore came back after %v", waited)
	}
	if after := cs.ResumeToken().Lookup("_data").StringValue(); after <= before {
		t.Errorf("the token went from %s to %s while another collection was written to", before, after)
	}
}

func testScopes(t *testing.T, s *suite) {
	db := s.database(t)
	ctx := t.Context()
	all := watch(t, s.client, `[{"$match": {"ns.db": "`+db.Name()+`"}}]`, options.ChangeStream())
	one := watch(t, db, `[]`, options.ChangeStream())
	expanded := watch(t, db, `[]`, options.ChangeStream().SetShowExpandedEvents(true))
	_, err := db.Collection("a").InsertOne(ctx, parse(t, `{"_id": 1}`))
	do(t, err)
	do(t, s.rename(ctx, db, "a", "b", false))
	_, err = db.Collection("b").InsertOne(ctx, parse(t, `{"_id": 2}`))
	do(t, err)
	s.part(t, "views are no events", func(t *testing.T) {
		do(t, db.CreateView(ctx, "a", "b", bson.A{}))
		do(t, db.Collection("a").Drop(ctx))
	})
	do(t, db.Collection("b").Drop(ctx))
	for name, cs := range map[string]*mongo.ChangeStream{"cluster": all, "database": one} {
		for _, want := range []string{"insert a", "rename a b", "insert b", "drop b"} {
			e := next(t, cs)
			got := e.Type + " " + e.NS.Coll
			if e.To.Coll != "" {
				got += " " + e.To.Coll
			}
			if got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
	}
	s.part(t, "what a write creates", func(t *testing.T) {
		if e := next(t, expanded); e.Type != "create" || e.NS.Coll != "a" {
			t.Errorf("expanded: %s %s", e.Type, e.NS.Coll)
		}
	})
	do(t, db.Drop(ctx))
	_, err = db.Collection("c").InsertOne(ctx, bson.D{})
	do(t, err)
	do(t, db.Drop(ctx))
	for _, want := range []string{"insert", "drop", "dropDatabase", "invalidate"} {
		e := next(t, one)
		for want == "insert" && e.Type == "dropDatabase" {
			return // the database went with its last collection
		}
		if e.Type != want {
			t.Errorf("database: %s, want %s", e.Type, want)
		}
	}
}

func testImages(t *testing.T, s *suite) {
	db := s.database(t)
	ctx, on := t.Context(), bson.D{{Key: "enabled", Value: true}}
	coll := db.Collection("things")
	do(t, db.CreateCollection(ctx, "things"))
	_, err := coll.Watch(ctx, mongo.Pipeline{}, options.ChangeStream().SetFullDocument(options.Required))
	early := err
	do(t, db.RunCommand(ctx, bson.D{{Key: "collMod", Value: "things"}, {Key: "changeStreamPreAndPostImages", Value: on}}).Err())
	cs := watch(t, coll, `[]`, options.ChangeStream().SetFullDocument(options.Required).SetFullDocumentBeforeChange(options.Required))
	writeSome(t, coll)
	for _, want := range []struct{ full, before string }{
		{`{"_id":1,"a":1}`, ``}, {`{"_id":1,"a":1,"b":2}`, `{"_id":1,"a":1}`}, {`{"_id":1,"c":3}`, `{"_id":1,"a":1,"b":2}`}, {``, `{"_id":1,"c":3}`},
	} {
		e := next(t, cs)
		if got := image(t, e.Full); got != want.full {
			t.Errorf("%s: full document %s, want %s", e.Type, got, want.full)
		}
		if got := image(t, e.Before); got != want.before {
			t.Errorf("%s: document before %s, want %s", e.Type, got, want.before)
		}
	}
	_ = early // a server may refuse at once or at the first event
}

func image(t *testing.T, d bson.Raw) string {
	if d == nil {
		return ""
	}
	return show(t, d)
}

func testInvalidate(t *testing.T, s *suite) {
	coll := s.collection(t, `{"_id": 0}`)
	ctx := t.Context()
	cs := watch(t, coll, `[]`, options.ChangeStream())
	do(t, coll.Drop(ctx))
	dropped := next(t, cs)
	if dropped.Type != "drop" {
		t.Errorf("first %s", dropped.Type)
	}
	s.part(t, "resuming behind a drop", func(t *testing.T) {
		if e := next(t, watch(t, coll, `[]`, options.ChangeStream().SetResumeAfter(dropped.ID))); e.Type != "invalidate" {
			t.Errorf("resumed after the drop: %s", e.Type)
		}
	})
	gone := next(t, cs)
	if gone.Type != "invalidate" {
		t.Errorf("then %s", gone.Type)
	}
	if cs.Next(ctx) {
		t.Errorf("after invalidate: %s", cs.Current)
	}
	_, err := coll.InsertOne(ctx, parse(t, `{"_id": 5}`))
	do(t, err)
	if _, err := coll.Watch(ctx, mongo.Pipeline{}, options.ChangeStream().SetResumeAfter(gone.ID)); err == nil {
		t.Error("resumeAfter an invalidate was accepted")
	}
	again := watch(t, coll, `[]`, options.ChangeStream().SetStartAfter(gone.ID))
	if e := next(t, again); e.Type != "insert" {
		t.Errorf("startAfter goes on with %s", e.Type)
	}
}

// testLargeEvents: an event of a document before and after its change may be
// larger than a document. It ends the stream, or is split where that was asked for.
func testLargeEvents(t *testing.T, s *suite) {
	db := s.database(t)
	ctx, coll := t.Context(), db.Collection("things")
	do(t, db.CreateCollection(ctx, "things", options.CreateCollection().SetChangeStreamPreAndPostImages(bson.D{{Key: "enabled", Value: true}})))
	_, err := coll.InsertOne(ctx, bson.D{{Key: "_id", Value: 1}, {Key: "s", Value: strings.Repeat("x", 9<<20)}})
	do(t, err)
	images := options.ChangeStream().SetFullDocument(options.Required).SetFullDocumentBeforeChange(options.Required)
	whole := watch(t, coll, `[]`, images)
	split := watch(t, coll, `[{"$changeStreamSplitLargeEvent": {}}]`, images)
	_, err = coll.UpdateOne(ctx, bson.D{}, parse(t, `{"$set": {"a": 1}}`))
	do(t, err)
	_, err = coll.DeleteOne(ctx, bson.D{})
	do(t, err)
	if whole.Next(ctx) {
		t.Errorf("an event of %d bytes was sent", len(whole.Current))
	}
	code(t, whole.Err(), 10334)

	fields, of := map[string]bool{}, int32(2)
	var token bson.Raw
	for i := int32(1); i <= of; i++ {
		e := next(t, split)
		if token == nil {
			token = e.ID
		}
		part, _ := split.Current.Lookup("splitEvent", "fragment").Int32OK()
		if of, _ = split.Current.Lookup("splitEvent", "of").Int32OK(); part != i || of < 2 {
			t.Fatalf("fragment %d of %d, want %d", part, of, i)
		}
		elements, err := split.Current.Elements()
		do(t, err)
		for _, one := range elements {
			if fields[one.Key()] && one.Key() != "_id" && one.Key() != "splitEvent" {
				t.Errorf("%s is in two fragments", one.Key())
			}
			fields[one.Key()] = true
		}
	}
	for _, name := range []string{"operationType", "ns", "documentKey", "clusterTime", "fullDocument", "fullDocumentBeforeChange", "updateDescription"} {
		if !fields[name] {
			t.Errorf("%s is in no fragment", name)
		}
	}
	if e := next(t, split); e.Type != "delete" || split.Current.Lookup("splitEvent").Type != 0 {
		t.Errorf("an event that fits is %s, split: %v", e.Type, split.Current.Lookup("splitEvent"))
	}
	again := watch(t, coll, `[{"$changeStreamSplitLargeEvent": {}}]`, images.SetResumeAfter(token))
	next(t, again)
	if part := again.Current.Lookup("splitEvent", "fragment"); part.AsInt64() != 2 || next(t, again).Type == "" && of == 2 {
		t.Errorf("resumed behind the first fragment: %v", part)
	}
	_, err = coll.Watch(ctx, bson.A{parse(t, `{"$changeStreamSplitLargeEvent": {}}`), parse(t, `{"$match": {}}`)})
	code(t, err, 7182802)
}
