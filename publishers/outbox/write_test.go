package outbox_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers/outbox"
)

// shown is a document as text, with the events shortened to their ids.
func shown(t *testing.T, d bson.D) string {
	t.Helper()
	if d == nil {
		return "none"
	}
	b, err := bson.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var out bson.D
	if err := bson.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	text, err := bson.MarshalExtJSON(shorten(out), false, false)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func shorten(v any) any {
	switch v := v.(type) {
	case bson.A:
		out := bson.A{}
		for _, e := range v {
			out = append(out, shorten(e))
		}
		return out
	case bson.D:
		if len(v) == 4 && v[0].Key == "v" && v[3].Key == "event" {
			return v[1].Value
		}
		out := bson.D{}
		for _, e := range v {
			out = append(out, bson.E{Key: e.Key, Value: shorten(e.Value)})
		}
		return out
	}
	return v
}

func TestPush(t *testing.T) {
	t.Parallel()
	set := bson.D{{Key: "$set", Value: bson.D{{Key: "name", Value: "Ada"}}}}
	tags := bson.D{{Key: "$push", Value: bson.D{{Key: "tags", Value: "x"}}}, {Key: "$set", Value: bson.M{"a": 1}}}
	once, err := outbox.Push(set, event("k", 0))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		update    bson.D
		published []events.Event
		want      string
	}{
		"nothing published": {set, nil, `{"$set":{"name":"Ada"}}`},
		"no update":         {nil, []events.Event{event("k", 0)}, `{"$push":{"_outbox":{"$each":["k/0"]}}}`},
		"a set":             {set, []events.Event{event("k", 0), event("k", 1)}, `{"$set":{"name":"Ada"},"$push":{"_outbox":{"$each":["k/0","k/1"]}}}`},
		"a push elsewhere":  {tags, []events.Event{event("k", 0)}, `{"$push":{"tags":"x","_outbox":{"$each":["k/0"]}},"$set":{"a":1}}`},
		"its own result":    {once, []events.Event{event("k", 1)}, `{"$set":{"name":"Ada"},"$push":{"_outbox":{"$each":["k/0","k/1"]}}}`},
		"a push by a map": {bson.D{{Key: "$push", Value: bson.M{"tags": "x"}}}, []events.Event{event("k", 0)},
			`{"$push":{"tags":"x","_outbox":{"$each":["k/0"]}}}`},
		"a neighbour by name": {bson.D{{Key: "$set", Value: bson.D{{Key: "_outboxes", Value: 1}}}}, []events.Event{event("k", 0)},
			`{"$set":{"_outboxes":1},"$push":{"_outbox":{"$each":["k/0"]}}}`},
	} {
		before := shown(t, tc.update)
		got, err := outbox.Push(tc.update, tc.published...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(tc.want, shown(t, got)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if after := shown(t, tc.update); after != before {
			t.Errorf("%s: the argument was changed to %s", name, after)
		}
	}
}

func TestWritesThatCannotCarryEvents(t *testing.T) {
	t.Parallel()
	bad := event("k", 0)
	bad.PartitionKey = ""
	one := func(operator, field string, v any) bson.D {
		return bson.D{{Key: operator, Value: bson.D{{Key: field, Value: v}}}}
	}
	push := func(d bson.D) error { _, err := outbox.Push(d, event("k", 0)); return err }
	embed := func(d bson.D) error { _, err := outbox.Embed(d, event("k", 0)); return err }
	replace := func(before, after bson.D) error { _, err := outbox.Replace(before, after, event("k", 0)); return err }
	for want, err := range map[string]error{
		`"name" is not an update operator`:    push(bson.D{{Key: "name", Value: "Ada"}}),
		`$set changes "_outbox"`:              push(one("$set", "_outbox", 1)),
		`$set changes "_outbox.0.id"`:         push(one("$set", "_outbox.0.id", 1)),
		`$unset changes "_outbox"`:            push(one("$unset", "_outbox", "")),
		`$unset changes "_outbox_cleared"`:    push(one("$unset", "_outbox_cleared", "")),
		`$setOnInsert changes "_outbox"`:      push(one("$setOnInsert", "_outbox", bson.A{})),
		`to "_outbox" was not made by Push`:   push(one("$push", "_outbox", 1)),
		`$push changes "_outbox.0.x"`:         push(one("$push", "_outbox.0.x", 1)),
		`$set: not a document`:                push(bson.D{{Key: "$set", Value: 7}}),
		`the document has "_outbox" already`:  embed(bson.D{{Key: "_outbox", Value: bson.A{}}}),
		`"$set" is an update operator`:        embed(one("$set", "a", 1)),
		`no update can set the field "a.b"`:   replace(nil, bson.D{{Key: "a.b", Value: 1}}),
		`no update can set the field "$price`: replace(nil, bson.D{{Key: "$price", Value: 1}}),
	} {
		if !errors.Is(err, outbox.ErrWrite) || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %q, got %v", want, err)
		}
	}
	if _, err := outbox.Push(nil, bad); !errors.Is(err, events.ErrMalformed) {
		t.Errorf("an event without a key: %v", err)
	}
	if _, err := outbox.Embed(nil, bad); !errors.Is(err, events.ErrMalformed) {
		t.Errorf("an event without a key: %v", err)
	}
}

func TestReplaceKeepsWhatWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	doc, err := outbox.Embed(bson.D{{Key: "_id", Value: "doc"}, {Key: "a", Value: 1}, {Key: "b", Value: 1}}, event("k", 0))
	w.must(err)
	_, err = w.users.InsertOne(t.Context(), doc)
	w.must(err)
	var before bson.D
	w.must(w.users.FindOne(t.Context(), bson.D{}).Decode(&before))
	after := bson.D{{Key: "_id", Value: "doc"}, {Key: "b", Value: 2}, {Key: "c", Value: 3}, {Key: "_outbox", Value: bson.A{"old"}}}
	update, err := outbox.Replace(before, after, event("k", 1))
	w.must(err)
	_, err = w.users.UpdateOne(t.Context(), bson.D{{Key: "_id", Value: "doc"}}, update)
	w.must(err)
	w.must(w.users.FindOne(t.Context(), bson.D{}).Decode(&before))
	if diff := cmp.Diff(`{"_id":"doc","b":2,"_outbox":["k/0","k/1"],"c":3}`, shown(t, before)); diff != "" {
		t.Error(diff)
	}
}

// Each write form against the server: the change and the events, or neither.
func TestWritesAreOneStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	update, err := outbox.Push(bson.D{{Key: "$setOnInsert", Value: bson.D{{Key: "new", Value: true}}}}, event("k", 0))
	w.must(err)
	_, err = w.users.UpdateOne(ctx, bson.D{{Key: "_id", Value: "upserted"}}, update, options.UpdateOne().SetUpsert(true))
	w.must(err)
	var doc bson.D
	w.must(w.users.FindOne(ctx, bson.D{}).Decode(&doc))
	if got := shown(t, doc); got != `{"_id":"upserted","_outbox":["k/0"],"new":true}` && got != `{"_id":"upserted","new":true,"_outbox":["k/0"]}` {
		t.Error(got)
	}
	unwanted := errors.New("changed my mind")
	err = outbox.InTransaction(ctx, w.client, func(ctx context.Context) error {
		if _, err := w.users.InsertOne(ctx, bson.D{{Key: "_id", Value: "gone"}}); err != nil {
			return err
		}
		if err := outbox.Insert(ctx, w.outbox, event("k", 1)); err != nil {
			return err
		}
		return unwanted
	})
	if !errors.Is(err, unwanted) {
		t.Error(err)
	}
	for name, c := range map[string]int64{"users": 1, "outbox": 0} {
		if n, err := w.db.Collection(name).CountDocuments(ctx, bson.D{}); err != nil || n != c {
			t.Errorf("%d documents in %s, %v", n, name, err)
		}
	}
}

func TestInsertNeedsATransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := outbox.Insert(t.Context(), w.outbox, event("k", 0)); !errors.Is(err, outbox.ErrNoTransaction) {
		t.Errorf("without a session: %v", err)
	}
	w.must(w.client.UseSession(t.Context(), func(ctx context.Context) error {
		if err := outbox.Insert(ctx, w.outbox, event("k", 0)); !errors.Is(err, outbox.ErrNoTransaction) {
			t.Errorf("with a session alone: %v", err)
		}
		return nil
	}))
	w.must(outbox.InTransaction(t.Context(), w.client, func(ctx context.Context) error {
		return outbox.Insert(ctx, w.outbox)
	}))
	err := outbox.InTransaction(t.Context(), w.client, func(ctx context.Context) error {
		return outbox.Insert(ctx, w.outbox, event("k", 0), events.Event{})
	})
	if !errors.Is(err, events.ErrMalformed) {
		t.Errorf("what is no event: %v", err)
	}
	if n, err := w.outbox.CountDocuments(t.Context(), bson.D{}); err != nil || n != 0 {
		t.Errorf("%d documents, %v", n, err)
	}
}
