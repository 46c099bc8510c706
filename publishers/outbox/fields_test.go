package outbox_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers/outbox"
)

var (
	oid     = bson.ObjectID{0x59, 0xb9, 0x9d, 0xb4, 0xcf, 0xa9, 0xa3, 0x4d, 0xcd, 0x78, 0x85, 0xb6}
	writing = bson.Timestamp{T: 1_700_000_000, I: 7}
	noon    = time.Date(2016, 11, 21, 12, 0, 0, 123_000_000, time.UTC)
)

// least is the least that an application has to write.
func least(change ...bson.E) bson.D {
	d := bson.D{{Key: "id", Value: "e1"}, {Key: "type", Value: "order.placed"}}
	for _, c := range change {
		replaced := false
		for i := range d {
			if d[i].Key == c.Key {
				d[i], replaced = c, true
			}
		}
		if !replaced {
			d = append(d, c)
		}
	}
	return d
}

func parse(t *testing.T, entry any) (events.Event, error) {
	t.Helper()
	typ, b, err := bson.MarshalValue(entry)
	if err != nil {
		t.Fatal(err)
	}
	document, err := bson.Marshal(bson.D{{Key: "_id", Value: oid}})
	if err != nil {
		t.Fatal(err)
	}
	_, key, data, err := outbox.Parse(bson.RawValue{Type: typ, Value: b}, document, writing)
	if err != nil {
		return events.Event{}, err
	}
	e, err := events.Decode(data)
	if err == nil && e.PartitionKey != key {
		t.Errorf("the key %q is not that of the event, %q", key, e.PartitionKey)
	}
	return e, err
}

func TestEntriesOfOtherLanguages(t *testing.T) {
	t.Parallel()
	base := events.Event{
		ID: "e1", Source: "/legacy", Type: "order.placed", Version: 1, PartitionKey: oid.Hex(), Time: time.Unix(1_700_000_000, 0).UTC(),
		Sequence: "01700000000000007000", CorrelationID: "e1", Data: json.RawMessage("null"),
	}
	want := func(change func(*events.Event)) events.Event {
		e := base
		change(&e)
		return e
	}
	for name, tc := range map[string]struct {
		entry bson.D
		want  events.Event
	}{
		"the least": {least(), base},
		"all": {least(bson.E{Key: "specversion", Value: "1.0"}, bson.E{Key: "source", Value: "/monolith"}, bson.E{Key: "dataversion", Value: 2},
			bson.E{Key: "subject", Value: "user/1"}, bson.E{Key: "time", Value: noon}, bson.E{Key: "partitionkey", Value: "u1"},
			bson.E{Key: "sequence", Value: "00000000000000000005"}, bson.E{Key: "traceparent", Value: "tp"}, bson.E{Key: "correlationid", Value: "c"},
			bson.E{Key: "causationid", Value: "b"}, bson.E{Key: "datacontenttype", Value: "application/json"},
			bson.E{Key: "data", Value: bson.D{{Key: "userId", Value: "u1"}}}, bson.E{Key: "unknown", Value: 1}),
			events.Event{ID: "e1", Source: "/monolith", Type: "order.placed", Version: 2, Subject: "user/1", Time: noon, PartitionKey: "u1",
				Sequence: "00000000000000000005", TraceParent: "tp", CorrelationID: "c", CausationID: "b", Data: json.RawMessage(`{"userId":"u1"}`)}},
		"an ObjectId tells the time": {least(bson.E{Key: "id", Value: oid}), want(func(e *events.Event) {
			e.ID, e.CorrelationID, e.Time = oid.Hex(), oid.Hex(), oid.Timestamp().UTC()
		})},
		"a UUIDv7 tells the time": {least(bson.E{Key: "id", Value: "0158864a-9a00-7000-8000-000000000001"}), want(func(e *events.Event) {
			e.ID, e.Time = "0158864a-9a00-7000-8000-000000000001", time.UnixMilli(0x0158864a9a00).UTC()
			e.CorrelationID = e.ID
		})},
		"a number counted by a script": {least(bson.E{Key: "id", Value: 1.7e12},
			bson.E{Key: "dataversion", Value: 3.0}, bson.E{Key: "sequence", Value: 12}), want(func(e *events.Event) {
			e.ID, e.CorrelationID, e.Version, e.Sequence = "1700000000000", "1700000000000", 3, "00000000000000000012"
		})},
		"texts and nulls": {least(bson.E{Key: "time", Value: "2016-11-21T13:00:00.123+01:00"},
			bson.E{Key: "dataversion", Value: "2"}, bson.E{Key: "subject", Value: nil}), want(func(e *events.Event) {
			e.Time, e.Version = noon, 2
		})},
	} {
		got, err := parse(t, tc.entry)
		if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

// The partition key that an entry leaves out is the document's _id, of any type.
func TestKeysOfDocuments(t *testing.T) {
	t.Parallel()
	decimal, err := bson.ParseDecimal128("1.50")
	if err != nil {
		t.Fatal(err)
	}
	typ, entry, err := bson.MarshalValue(least())
	if err != nil {
		t.Fatal(err)
	}
	for want, id := range map[string]any{
		`{"shop":7,"sku":"a.b"}`:               bson.D{{Key: "shop", Value: 7}, {Key: "sku", Value: "a.b"}},
		"30313233-3435-3637-3839-616263646566": bson.Binary{Subtype: bson.TypeBinaryUUID, Data: []byte("0123456789abcdef")},
		"1.50":                                 decimal,
		"4611686018427387905":                  int64(1)<<62 + 1,
		"1912-06-23T01:02:03Z":                 time.Date(1912, 6, 23, 1, 2, 3, 0, time.UTC),
		"true":                                 true,
	} {
		document, err := bson.Marshal(bson.D{{Key: "_id", Value: id}})
		if err != nil {
			t.Fatal(err)
		}
		if _, key, _, err := outbox.Parse(bson.RawValue{Type: typ, Value: entry}, document, writing); key != want || err != nil {
			t.Errorf("%q, %v; want %q", key, err, want)
		}
	}
}

func TestDataOfOtherLanguages(t *testing.T) {
	t.Parallel()
	decimal, err := bson.ParseDecimal128("1.50")
	if err != nil {
		t.Fatal(err)
	}
	data := bson.D{
		{Key: "text", Value: "é\n\"<"}, {Key: "int", Value: int32(-1)}, {Key: "long", Value: int64(1) << 50},
		{Key: "double", Value: 1.5}, {Key: "whole", Value: 2.0},
		{Key: "yes", Value: true}, {Key: "null", Value: nil}, {Key: "oid", Value: oid}, {Key: "date", Value: noon},
		{Key: "uuid", Value: bson.Binary{Subtype: 4, Data: make([]byte, 16)}}, {Key: "bytes", Value: []byte{1, 2}}, {Key: "decimal", Value: decimal},
		{Key: "list", Value: bson.A{1, bson.D{{Key: "z", Value: 1}, {Key: "a", Value: bson.A{}}}}}, {Key: "", Value: bson.D{}},
	}
	e, err := parse(t, least(bson.E{Key: "data", Value: data}))
	const want = `{"text":"é\n\"\u003c","int":-1,"long":1125899906842624,"double":1.5,"whole":2,"yes":true,"null":null,` +
		`"oid":"59b99db4cfa9a34dcd7885b6","date":"2016-11-21T12:00:00.123Z","uuid":"00000000-0000-0000-0000-000000000000","bytes":"AQI=",` +
		`"decimal":"1.50","list":[1,{"z":1,"a":[]}],"":{}}`
	if diff := cmp.Diff(want, string(e.Data)); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func TestEntriesThatAreNoEvents(t *testing.T) {
	t.Parallel()
	deep := any(1)
	for range 70 {
		deep = bson.A{deep}
	}
	for want, entry := range map[string]any{
		"string, not a document":       "text",
		"no id":                        bson.D{{Key: "type", Value: "t"}},
		"id is boolean":                least(bson.E{Key: "id", Value: true}),
		"specversion":                  least(bson.E{Key: "specversion", Value: "0.3"}),
		"type: required":               bson.D{{Key: "id", Value: "1"}},
		"subject is embedded document": least(bson.E{Key: "subject", Value: bson.D{}}),
		"binary data":                  least(bson.E{Key: "data_base64", Value: "AA=="}),
		"text/plain":                   least(bson.E{Key: "datacontenttype", Value: "text/plain"}),
		`dataversion "x"`:              least(bson.E{Key: "dataversion", Value: "x"}),
		"dataversion is not":           least(bson.E{Key: "dataversion", Value: 1.5}),
		"dataversion: 0":               least(bson.E{Key: "dataversion", Value: 0}),
		"time is neither":              least(bson.E{Key: "time", Value: "yesterday"}),
		`sequence "-1"`:                least(bson.E{Key: "sequence", Value: -1}),
		`sequence "x"`:                 least(bson.E{Key: "sequence", Value: "x"}),
		"nested deeper":                least(bson.E{Key: "data", Value: deep}),
		"its type is min key":          least(bson.E{Key: "data", Value: bson.A{bson.MinKey{}}}),
		"JSON has no NaN":              least(bson.E{Key: "data", Value: math.NaN()}),
		"2^53":                         least(bson.E{Key: "data", Value: int64(1) << 53}),
		"store it as a text":           least(bson.E{Key: "data", Value: bson.A{-int64(1) << 60}}),
		"the year -":                   least(bson.E{Key: "data", Value: bson.DateTime(math.MinInt64 / 2)}),
		"parsing time":                 least(bson.E{Key: "type", Value: "user.joined"}, bson.E{Key: "data", Value: bson.D{{Key: "joinedAt", Value: "yesterday"}}}),
		"event is 32-bit integer":      least(bson.E{Key: "event", Value: 1}),
		"not JSON":                     least(bson.E{Key: "event", Value: "x"}),
	} {
		if _, err := parse(t, entry); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %q, got %v", want, err)
		}
	}
}

// An application in another language writes entries with its own update, and says
// once in the document which request it was.
func TestCorrelationComesFromTheDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, stop := w.relay()
	ctx := t.Context()
	correlation := func(id string) bson.E {
		return bson.E{Key: "_correlation", Value: bson.D{
			{Key: "traceparent", Value: "tp-" + id}, {Key: "correlationid", Value: id}, {Key: "causationid", Value: "of-" + id}}}
	}
	entry := func(id string, more ...bson.E) bson.D { return least(append(more, bson.E{Key: "id", Value: id})...) }
	update := func(id string, more ...bson.E) {
		t.Helper()
		u := bson.D{{Key: "$push", Value: bson.D{{Key: "_outbox", Value: entry(id, more...)}}}, {Key: "$set", Value: bson.D{correlation("r2")}}}
		_, err := w.users.UpdateOne(ctx, bson.D{}, u)
		w.must(err)
	}
	_, err := w.users.InsertOne(ctx, bson.D{{Key: "_id", Value: "doc"}, correlation("r1"), {Key: "_outbox", Value: bson.A{entry("inserted")}}})
	w.must(err)
	update("changed")   // the ids are in the change
	update("unchanged") // the ids are in the document only
	update("own", bson.E{Key: "correlationid", Value: "mine"})
	_, err = w.users.UpdateOne(ctx, bson.D{}, bson.D{
		{Key: "$push", Value: bson.D{{Key: "_outbox", Value: entry("none")}}}, {Key: "$unset", Value: bson.D{{Key: "_correlation", Value: ""}}}})
	w.must(err)
	_, err = w.users.UpdateOne(ctx, bson.D{}, bson.D{{Key: "$push", Value: bson.D{{Key: "_outbox", Value: entry("bad")}}},
		{Key: "$set", Value: bson.D{{Key: "_correlation", Value: bson.D{{Key: "correlationid", Value: "two lines\n"}, {Key: "causationid", Value: "cause"}}}}}})
	w.must(err)
	w.awaitEmpty()
	w.stop(stop)
	want := map[string][3]string{
		"inserted": {"tp-r1", "r1", "of-r1"}, "changed": {"tp-r2", "r2", "of-r2"}, "unchanged": {"tp-r2", "r2", "of-r2"},
		"own": {"", "mine", ""}, "none": {"", "none", ""}, "bad": {"", "bad", "cause"},
	}
	got := make(map[string][3]string)
	sequence := ""
	for _, e := range w.read() {
		got[e.ID] = [3]string{e.TraceParent, e.CorrelationID, e.CausationID}
		if e.Sequence <= sequence || time.Since(e.Time).Abs() > time.Minute {
			t.Errorf("%s has sequence %s after %s, and time %v", e.ID, e.Sequence, sequence, e.Time)
		}
		sequence = e.Sequence
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzParse(f *testing.F) {
	for _, d := range []bson.D{least(), least(bson.E{Key: "data", Value: bson.A{1.5, noon}}), {{Key: "event", Value: "{}"}}} {
		b, err := bson.Marshal(d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	document, err := bson.Marshal(bson.D{{Key: "_id", Value: oid}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if bson.Raw(b).Validate() != nil {
			t.Skip("a server stores no such thing")
		}
		raw := bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: b}
		known, key, data, err := outbox.Parse(raw, document, writing)
		if err != nil {
			return
		}
		e, err := events.Decode(data)
		if err != nil || e.PartitionKey != key || known != e.Source+"\x00"+e.ID {
			t.Fatalf("an entry that was taken is %+v with key %q: %v", e, key, err)
		}
		_, _, again, err := outbox.Parse(raw, document, writing)
		if err != nil || string(again) != string(data) {
			t.Fatalf("the second time it is %q, %v; not %q", again, err, data)
		}
	})
}
