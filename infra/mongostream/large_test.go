package mongostream_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/infra/mongostream"
)

// What servers say of an option or a stage that they do not know, and what is not that.
func TestWhatAServerDoesNotKnow(t *testing.T) {
	for _, c := range []struct {
		code                   int32
		message                string
		again, expanded, split bool
	}{
		{40324, "Unrecognized pipeline stage name: '$changeStreamSplitLargeEvent'", true, false, true},                        // 6.0
		{40415, "BSON field '$changeStream.showExpandedEvents' is an unknown field.", true, true, false},                      // 5.0
		{40415, "Unrecognized field 'showExpandedEvents'", true, true, false},                                                 // 4.4
		{323, "stage $changeStreamSplitLargeEvent is not allowed with 'apiStrict: true' in API Version 1", true, false, true}, // a strict client
		{286, "Resume of change stream was not possible, as the resume point may no longer be in the oplog.", false, false, false},
	} {
		again, expanded, split := mongostream.Unsupported(mongo.CommandError{Code: c.code, Message: c.message})
		if again != c.again || expanded != c.expanded || split != c.split {
			t.Errorf("%s: again %v, expanded %v, split %v", c.message, again, expanded, split)
		}
	}
	if again, _, _ := mongostream.Unsupported(errors.New("$changeStreamSplitLargeEvent: connection closed")); again {
		t.Error("an error that is not the server's counts as its refusal")
	}
}

func fragment(t *testing.T, i, of int, fields ...bson.E) bson.Raw {
	t.Helper()
	raw, err := bson.Marshal(append(bson.D{{Key: "_id", Value: bson.D{{Key: "_data", Value: fmt.Sprint(i)}}},
		{Key: "splitEvent", Value: bson.D{{Key: "fragment", Value: i}, {Key: "of", Value: of}}}}, fields...))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Fragments as the manual shows them: each field is in one of them, in any order.
func TestFragmentsBecomeOneChange(t *testing.T) {
	doc := func(text string) bson.D { return bson.D{{Key: "text", Value: text}} }
	first := fragment(t, 1, 3, bson.E{Key: "fullDocument", Value: doc("after")},
		bson.E{Key: "ns", Value: bson.D{{Key: "db", Value: "legacy"}, {Key: "coll", Value: "things"}}})
	second := fragment(t, 2, 3, bson.E{Key: "fullDocumentBeforeChange", Value: doc("before")},
		bson.E{Key: "clusterTime", Value: bson.Timestamp{T: 5, I: 6}})
	third := fragment(t, 3, 3, bson.E{Key: "updateDescription", Value: bson.D{{Key: "updatedFields", Value: doc("after")}}},
		bson.E{Key: "operationType", Value: "update"}, bson.E{Key: "documentKey", Value: bson.D{{Key: "_id", Value: 7}}})
	c, err := mongostream.Assemble(first, second, third)
	if err != nil {
		t.Fatal(err)
	}
	text := func(d bson.Raw) string { return d.Lookup("text").StringValue() }
	if text(c.Full) != "after" || text(c.Before) != "before" || text(c.Updated) != "after" || c.ID().AsInt64() != 7 || c.Collection != "things" ||
		c.Operation != "update" || c.ClusterTime.I != 6 {
		t.Errorf("%+v", c)
	}
	if got := c.Token.Lookup("_data").StringValue(); got != "3" {
		t.Errorf("the token is that of fragment %s, behind which the rest would be sent again", got)
	}
	for name, wrong := range map[string][]bson.Raw{
		"a fragment is missing": {first, third}, "it begins in the middle": {second, third}, "it comes twice": {first, first},
	} {
		if c, err := mongostream.Assemble(wrong...); err == nil || mongostream.Permanent(err) != nil {
			t.Errorf("%s: %v, %v; want that the stream is read again", name, c, err)
		}
	}
	large := bson.E{Key: "x", Value: make([]byte, 15<<20)}
	five := make([]bson.Raw, 5)
	for i := range five {
		five[i] = fragment(t, i+1, 5, large)
	}
	if _, err := mongostream.Assemble(five...); !errors.Is(mongostream.Permanent(err), mongostream.ErrEventTooLarge) {
		t.Errorf("75 MB: %v", err)
	}
}

// largeEvents is a world with changes 0 to 9, of which that of document 5 is an update
// whose event has more than 16 MB.
func largeEvents(t *testing.T) (w *world, start mongostream.Position, source mongostream.Source) {
	t.Helper()
	w = newWorld(t, 1)
	images := options.CreateCollection().SetChangeStreamPreAndPostImages(bson.D{{Key: "enabled", Value: true}})
	if err := w.db.CreateCollection(w.ctx, "things", images); err != nil {
		t.Fatal(err)
	}
	if _, err := w.things.InsertOne(w.ctx, bson.D{{Key: "_id", Value: 5}, {Key: "x", Value: make([]byte, 9<<20)}}); err != nil {
		t.Fatal(err)
	}
	start = mongostream.Position{Start: *w.now()}
	w.insert(0, 1, 2, 3, 4)
	if _, err := w.things.UpdateByID(w.ctx, 5, bson.D{{Key: "$set", Value: bson.D{{Key: "y", Value: 1}}}}); err != nil {
		t.Fatal(err)
	}
	w.insert(6, 7, 8, 9)
	source = w.source()
	source.FullDocument, source.FullDocumentBeforeChange = options.WhenAvailable, options.WhenAvailable
	w.requireLimit(start.Start)
	return w, start, source
}

// requireLimit skips the test on a server that sends events of any size.
func (w *world) requireLimit(start bson.Timestamp) {
	w.t.Helper()
	opts := options.ChangeStream().SetFullDocument(options.WhenAvailable).SetFullDocumentBeforeChange(options.WhenAvailable)
	cs, err := w.things.Watch(w.ctx, mongo.Pipeline{}, opts.SetStartAtOperationTime(&start))
	if err == nil {
		for cs.TryNext(w.ctx) {
		}
		err = cs.Err()
		_ = cs.Close(w.ctx)
	}
	if !mongoerr.HasCode(err, mongoerr.BSONObjectTooLarge) {
		w.t.Skip("the server has no limit for events")
	}
}

// meteor#14763, PeerDB#3105: an event over 16 MB ended the stream, at each start again.
func TestLargeEventsAreSplit(t *testing.T) {
	w, start, source := largeEvents(t)
	w.checkPassed(source, start, 0, false)
	for _, behind := range []int{3, 4, 5} {
		before, err := w.readUntil(source, start, behind)
		if err != nil {
			t.Fatal(err)
		}
		w.checkPassed(source, mongostream.Position{Token: before[len(before)-1].Token}, behind+1, false)
	}
}

func TestLargeEventsAreStrippedWhereTheServerCannotSplit(t *testing.T) {
	w, start, source := largeEvents(t)
	w.checkPassed(source.WithoutSplit(), start, 0, true)
	var seen log
	f, stop := w.follower(mongostream.Config{Source: source.WithoutSplit(), StartAt: &start.Start, Handle: seen.handle})
	eventually.True(t, "all changes", func() bool { return len(seen.get()) == 10 })
	w.insert(10)
	eventually.True(t, "one more", func() bool { return len(seen.get()) == 11 })
	if err := stop(); err != nil || f.Status().Reconnects > 0 {
		t.Errorf("%v, %+v", err, f.Status())
	}
}

// checkPassed reads the changes from that of a document on.
func (w *world) checkPassed(source mongostream.Source, at mongostream.Position, first int, stripped bool) {
	w.t.Helper()
	all, err := w.readUntil(source, at, 9)
	if err != nil {
		w.t.Fatal(err)
	}
	var ids, want []int64
	for id := int64(first); id <= 9; id++ {
		want = append(want, id)
	}
	for _, c := range all {
		id := c.ID().AsInt64()
		ids = append(ids, id)
		switch large := id == 5; {
		case c.Stripped != (stripped && large):
			w.t.Errorf("%s: stripped %v", &c, c.Stripped)
		case large && stripped && (c.Full != nil || c.Before != nil || c.Updated != nil):
			w.t.Errorf("%s has documents", &c)
		case large && !stripped && (len(c.Before) < 9<<20 || len(c.Full) <= len(c.Before) || c.Updated == nil):
			w.t.Errorf("%s has %d bytes before, %d after, updated %v", &c, len(c.Before), len(c.Full), c.Updated)
		case !large && c.Full == nil:
			w.t.Errorf("%s lacks its document", &c)
		}
	}
	if !slices.Equal(ids, want) {
		w.t.Errorf("read %v, want %v", ids, want)
	}
}
