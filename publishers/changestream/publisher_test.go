package changestream_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
	"github.com/banyan-fig/banyan/publishers/changestream"
	"github.com/banyan-fig/banyan/publishers/streamtest"
)

const usersMapping = `
version: 1
source: /legacy/users
collections:
  users:
    - on: insert
      event: user.joined
      subject: user/{_id}
      correlation: request
      data:
        userId: _id
        name: {field: name, as: text}
        joinedAt: {field: createdAt, as: time, default: "1970-01-01T00:00:00Z"}
    - on: [update, replace, snapshot]
      when:
        - changed: [name, version]
      event: user.profile-updated
      subject: user/{_id}
      data:
        userId: _id
        name: name
        bio: {field: bio, default: ""}
        version: {field: version, as: integer, default: 0}
    - on: delete
      event: user.left
      subject: user/{_id}
      data:
        userId: _id
        name: {field: name, missing: omit}
`

func id(n int) bson.ObjectID {
	return bson.ObjectID{10: byte(n >> 8), 11: byte(n)}
}

func doc(pairs ...any) bson.D {
	d := bson.D{}
	for i := 0; i < len(pairs); i += 2 {
		d = append(d, bson.E{Key: pairs[i].(string), Value: pairs[i+1]})
	}
	return d
}

func set(pairs ...any) bson.D { return doc("$set", doc(pairs...)) }

// facts writes events as lines: type and data.
func facts(all []events.Event) []string {
	var lines []string
	for _, e := range all {
		lines = append(lines, e.Type+" "+string(e.Data))
	}
	return lines
}

func TestPublishesWhatHappens(t *testing.T) {
	w := newWorld(t, 1)
	cfg := w.config(parse(t, usersMapping))
	cfg.EnsureImages = true
	p, stop := w.publisher(cfg)
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(1), "name", "Ada", "request", "r-1")))
	w.do(w.users.UpdateByID(w.ctx, id(1), set("name", "Ada L.", "version", 2.0)))
	w.do(w.users.UpdateByID(w.ctx, id(1), set("seen", 5)))
	w.do(w.users.DeleteOne(w.ctx, doc("_id", id(1))))
	w.do(w.db.Collection("others").InsertOne(w.ctx, doc("_id", 1)))
	waitFor(t, "three events", func() bool { return p.Status().Published == 3 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	key := id(1).Hex()
	got := w.kept()[key]
	want := []string{
		`user.joined {"userId":"` + key + `","name":"Ada","joinedAt":"1970-01-01T00:00:00Z"}`,
		`user.profile-updated {"userId":"` + key + `","name":"Ada L.","bio":"","version":2}`,
		`user.left {"userId":"` + key + `","name":"Ada L."}`,
	}
	if diff := cmp.Diff(want, facts(got)); diff != "" {
		t.Fatal(diff)
	}
	if e := got[0]; e.CorrelationID != "r-1" || e.Source != "/legacy/users" || e.Subject != "user/"+key || time.Since(e.Time) > time.Minute {
		t.Errorf("%+v", e)
	}
	if e := got[1]; e.CorrelationID != e.ID || e.TraceParent == "" || e.Sequence <= got[0].Sequence || e.Sequence >= got[2].Sequence {
		t.Errorf("%+v", e)
	}
	if st := p.Status(); st.Ignored != 1 || st.Refused != 0 || st.Skipped != 0 || st.Follower.Handled != 4 {
		t.Errorf("%+v", st)
	}
}

// TestWithoutImages: a delete has only the key, and an update the present
// document, which may be newer than the change, or gone.
func TestWithoutImages(t *testing.T) {
	w := newWorld(t, 1)
	cfg := w.config(parse(t, usersMapping))
	_, stop := w.publisher(cfg)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(1), "name", "Ada")))
	w.do(w.users.UpdateByID(w.ctx, id(1), set("name", "B", "version", 1)))
	w.do(w.users.UpdateByID(w.ctx, id(1), set("name", "C", "version", 2)))
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(2), "name", "Bob")))
	w.do(w.users.UpdateByID(w.ctx, id(2), set("name", "B", "version", 1)))
	w.do(w.users.DeleteOne(w.ctx, doc("_id", id(2))))
	p, stop := w.publisher(cfg)
	waitFor(t, "five events", func() bool { return p.Status().Published == 5 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	all := w.kept()
	if got := facts(all[id(1).Hex()]); len(got) != 3 || !strings.Contains(got[1], `"version":2`) || !strings.Contains(got[2], `"version":2`) {
		t.Errorf("%v", got)
	}
	if got := facts(all[id(2).Hex()]); len(got) != 2 || got[1] != `user.left {"userId":"`+id(2).Hex()+`"}` {
		t.Errorf("%v", got)
	}
	if p.Status().Skipped != 1 {
		t.Errorf("%+v", p.Status())
	}
}

// TestDeadLetters: what cannot be mapped or published is put aside whole, and
// does not hold up the rest.
func TestDeadLetters(t *testing.T) {
	w := newWorld(t, 1)
	m := parse(t, usersMapping)
	byFile := m.Collections["users"]
	m.Collections["users"] = func(c changestream.Change) ([]events.Event, error) {
		if name, _ := c.Full.Lookup("name").StringValueOK(); name == "panic" {
			panic("at the disco")
		}
		return byFile(c)
	}
	cfg := w.config(m)
	p, stop := w.publisher(cfg)
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(1))))                                            // no name
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(2), "name", "x", "createdAt", 1e300)))           // no time
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(3), "name", strings.Repeat("x", 1<<20))))        // too large for the stream
	w.do(w.users.InsertOne(w.ctx, doc("_id", strings.Repeat("k", 300), "name", "key too long"))) // no partition key
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(5), "name", "panic")))
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(6), "name", "fine")))
	waitFor(t, "the good one", func() bool { return p.Status().Published == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	letters := w.refused()
	for i, want := range []string{"lacks a field", "cannot be written as time", "too large", "partitionkey", "at the disco"} {
		if i >= len(letters) || !strings.Contains(letters[i].Reason, want) {
			t.Fatalf("dead letter %d, want one that says %q: %+v", i, want, letters)
		}
		c := letters[i].Change
		if c.Operation != "insert" || c.Collection != "users" || c.Full == nil || c.Key.Lookup("_id").IsZero() || c.ClusterTime.T == 0 || len(letters[i].Left) > 0 {
			t.Errorf("dead letter %d is not whole: %+v", i, c)
		}
	}
	if st := p.Status(); st.Refused != 5 || len(letters) != 5 || letters[2].Event.IsZero() {
		t.Errorf("%d letters, %+v", len(letters), st)
	}
	if got := w.kept(); count(got) != 1 {
		t.Errorf("%v", got)
	}
}

// TestARefusingStreamStopsIt: a stream that takes nothing is no reason to put
// every change aside, unless its error is one of the event.
func TestARefusingStreamStopsIt(t *testing.T) {
	w := newWorld(t, 1)
	cfg := w.config(parse(t, usersMapping))
	cfg.To = w.stream(false)
	_, stop := w.publisher(cfg)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.do(w.client.DeleteStream(w.ctx, &awskinesis.DeleteStreamInput{StreamName: aws.String(stream)}))
	waitFor(t, "the stream to be gone", func() bool {
		_, err := w.client.DescribeStreamSummary(w.ctx, &awskinesis.DescribeStreamSummaryInput{StreamName: aws.String(stream)})
		return err != nil
	})
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(1), "name", "x")))
	p, err := w.ended(cfg)
	if err == nil || !strings.Contains(err.Error(), "ResourceNotFound") || p.Status().Refused > 0 {
		t.Fatalf("without a stream: %v, %+v", err, p.Status())
	}
	w.do(nil, streamtest.Create(w.ctx, w.client, stream, 3))
	cfg.To = w.stream(false)
	p, stop = w.publisher(cfg)
	waitFor(t, "the event", func() bool { return p.Status().Published == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.do(w.client.DeleteStream(w.ctx, &awskinesis.DeleteStreamInput{StreamName: aws.String(stream)}))
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(2), "name", "x")))
	cfg.Permanent = func(error) bool { return true }
	p, stop = w.publisher(cfg)
	waitFor(t, "a dead letter", func() bool { return p.Status().Refused == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if letters := w.refused(); len(letters) != 1 || letters[0].Event.Document().Lookup("type").StringValue() != "user.joined" || letters[0].Change.Full == nil {
		t.Errorf("%+v", letters)
	}
}

func TestRedrive(t *testing.T) {
	w := newWorld(t, 1)
	p, stop := w.publisher(w.config(parse(t, usersMapping)))
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(1), "name", "a", "createdAt", "yesterday")))
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(2))))
	waitFor(t, "two dead letters", func() bool { return p.Status().Refused == 2 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	lenient := strings.Replace(usersMapping, `{field: createdAt, as: time, default: "1970-01-01T00:00:00Z"}`, `{value: "1970-01-01T00:00:00Z"}`, 1)
	again, err := changestream.New(w.config(parse(t, lenient)))
	if err != nil {
		t.Fatal(err)
	}
	done, err := again.Redrive(w.ctx, nil)
	if err != nil || done != (changestream.Redriven{Published: 1, Refused: 1}) {
		t.Errorf("%+v %v", done, err)
	}
	if got := facts(w.kept()[id(1).Hex()]); len(got) != 1 || !strings.HasPrefix(got[0], "user.joined") {
		t.Errorf("%v", got)
	}
	if left := w.refused(); len(left) != 1 || left[0].Change.Key.Lookup("_id").ObjectID() != id(2) {
		t.Errorf("%+v", left)
	}
}

// TestHistoryLost: without Snapshot it is the end, and says what to do; with it,
// a snapshot begins by itself.
func TestHistoryLost(t *testing.T) {
	w := newWorld(t, 1, func(c *mongodb.Config) { c.OplogEntries = 30 })
	cfg := w.config(parse(t, usersMapping))
	p, stop := w.publisher(cfg)
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(0), "name", "known")))
	waitFor(t, "the first event", func() bool { return p.Status().Published == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		w.do(w.users.InsertOne(w.ctx, doc("_id", id(1+i), "name", "missed")))
	}
	for range 2 {
		if _, err := w.ended(cfg); !errors.Is(err, mongostream.ErrHistoryLost) || !strings.Contains(err.Error(), "snapshot") {
			t.Fatalf("a position that is gone: %v", err)
		}
	}
	cfg.Snapshot, cfg.SnapshotChunk = true, 7
	p, stop = w.start(cfg)
	waitFor(t, "the snapshot", func() bool { st := p.Status(); return st.Snapshot.Documents == 61 && !st.Snapshot.Running })
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(100), "name", "new")))
	waitFor(t, "all events", func() bool { return p.Status().Published == 62 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if st := p.Status(); st.HistoryLost != 1 {
		t.Errorf("%+v", st)
	}
	all := w.kept()
	for i := range 61 {
		got := all[id(i).Hex()]
		if len(got) == 0 || got[len(got)-1].Type != "user.profile-updated" || got[len(got)-1].CorrelationID != p.Status().Snapshot.ID {
			t.Errorf("user %d: %v", i, got)
		}
	}
	p, stop = w.publisher(cfg) // with a position, there is none
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(101), "name", "newer")))
	waitFor(t, "one more", func() bool { return p.Status().Published == 1 })
	if err := stop(); err != nil || p.Status().Snapshot.Running {
		t.Errorf("%v %+v", err, p.Status())
	}
}

// TestSnapshotOfAllKindsOfIDs reads documents in the order over all types of _id.
func TestSnapshotOfAllKindsOfIDs(t *testing.T) {
	w := newWorld(t, 1)
	nan, _ := bson.ParseDecimal128("NaN")
	ids := []any{bson.MinKey{}, nil, nan, 1, int64(2), 2.5, "a", "b", doc("x", 1), doc("x", 2), bson.Binary{Subtype: 4, Data: make([]byte, 16)},
		id(1), id(2), false, true, time.UnixMilli(1), time.UnixMilli(2), bson.Timestamp{T: 1, I: 1}, bson.MaxKey{}}
	for _, i := range []int{3, 1, 0, 2} { // inserted in another order
		for k := i; k < len(ids); k += 4 {
			w.do(w.users.InsertOne(w.ctx, doc("_id", ids[k], "name", "x")))
		}
	}
	m := parse(t, `{version: 1, collections: {users: [{on: snapshot, event: t, key: "{name}", subject: "{name}", data: {name: name}}]}}`)
	cfg := w.config(m)
	cfg.Snapshot, cfg.SnapshotChunk = true, 1
	var seen []string
	byFile := m.Collections["users"]
	m.Collections["users"] = func(c changestream.Change) ([]events.Event, error) {
		seen = append(seen, c.ID().String())
		return byFile(c)
	}
	p, stop := w.start(cfg)
	waitFor(t, "the snapshot", func() bool { st := p.Status(); return st.Snapshot.ID != "" && !st.Snapshot.Running })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, one := range ids {
		d, err := bson.Marshal(doc("v", one))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, bson.Raw(d).Lookup("v").String())
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

func TestStopsOnceForADrop(t *testing.T) {
	w := newWorld(t, 1)
	cfg := w.config(parse(t, usersMapping))
	p, _ := w.publisher(cfg)
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(1), "name", "x")))
	waitFor(t, "an event", func() bool { return p.Status().Published == 1 })
	if err := w.users.Drop(w.ctx); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the end", func() bool { return strings.Contains(p.Status().Follower.LastError, "drop of "+w.db.Name()+".users") })
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(2), "name", "y")))
	p, stop := w.publisher(cfg)
	waitFor(t, "to go on behind it", func() bool { return p.Status().Published == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// TestLookUpAfterARename: an update whose document is out of sight, not deleted,
// is no update of a deleted document.
func TestLookUpAfterARename(t *testing.T) {
	w := newWorld(t, 1)
	cfg := w.config(parse(t, usersMapping))
	cfg.FollowOn = true
	_, stop := w.publisher(cfg)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(1), "name", "x")))
	w.do(w.users.UpdateByID(w.ctx, id(1), set("version", 2)))
	w.do(nil, w.mongo.Database("admin").RunCommand(w.ctx, doc("renameCollection", w.db.Name()+".users", "to", w.db.Name()+".elsewhere")).Err())
	w.do(nil, w.db.CreateView(w.ctx, "users", "elsewhere", bson.A{doc("$match", doc("_id", 0))}))
	p, stop := w.publisher(cfg)
	waitFor(t, "a dead letter", func() bool { return p.Status().Refused == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if letters := w.refused(); !strings.Contains(letters[0].Reason, "renamed") || letters[0].Change.Updated.Lookup("version").AsInt64() != 2 {
		t.Errorf("%+v", letters)
	}
	again, err := changestream.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if done, err := again.Redrive(w.ctx, nil); err != nil || done != (changestream.Redriven{Refused: 1}) || len(w.refused()) != 1 {
		t.Errorf("driven again: %+v %v", done, err)
	}
}

// TestOneTransaction: all changes of one have one cluster time, and still each
// event an id of its own, and an order.
func TestOneTransaction(t *testing.T) {
	mongodbtest.Lacks(t, "SecantusDB", "looks up the document when it is asked for the post-image")
	w := newWorld(t, 1)
	cfg := w.config(parse(t, usersMapping))
	cfg.EnsureImages = true
	p, stop := w.publisher(cfg)
	s, err := w.mongo.StartSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.EndSession(w.ctx)
	_, err = s.WithTransaction(w.ctx, func(ctx context.Context) (any, error) {
		if _, err := w.users.InsertOne(ctx, doc("_id", id(1), "name", "v0")); err != nil {
			return nil, err
		}
		for i := 1; i <= 5; i++ {
			if _, err := w.users.UpdateByID(ctx, id(1), set("name", fmt.Sprint("v", i), "version", i)); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "six events", func() bool { return p.Status().Published == 6 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	got := w.kept()[id(1).Hex()]
	ids := map[string]bool{}
	for i, e := range got {
		ids[e.ID] = true
		if !strings.Contains(string(e.Data), fmt.Sprintf(`"name":"v%d"`, i)) || i > 0 && e.Sequence <= got[i-1].Sequence {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	if len(ids) != 6 {
		t.Errorf("%d ids", len(ids))
	}
}

func TestConfigs(t *testing.T) {
	w := newWorld(t, 1)
	good := w.config(parse(t, usersMapping))
	for want, spoil := range map[string]func(*changestream.Config){
		"Database is missing": func(c *changestream.Config) { c.Database = nil },
		"To is missing":       func(c *changestream.Config) { c.To = nil },
		"names no collection": func(c *changestream.Config) { c.Mapping = nil },
		"Source":              func(c *changestream.Config) { c.Source = "::" },
		"Snapshot is asked": func(c *changestream.Config) {
			c.Snapshot, c.Mapping = true, &changestream.Mapping{Collections: c.Mapping.Collections}
		},
		"publisher's own": func(c *changestream.Config) { c.Refused = w.db.Collection("users") },
		"SnapshotChunk":   func(c *changestream.Config) { c.SnapshotChunk = -1 },
	} {
		cfg := good
		spoil(&cfg)
		if _, err := changestream.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := changestream.New(good); err != nil {
		t.Error(err)
	}
}

// TestSequencesContinueInAService: the events of the service that takes over come
// after those of the change stream.
func TestSequencesContinueInAService(t *testing.T) {
	w := newWorld(t, 1)
	p, stop := w.publisher(w.config(parse(t, usersMapping)))
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(1), "name", "x")))
	waitFor(t, "an event", func() bool { return p.Status().Published == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	next, err := events.New(w.ctx, "/services/users", social.UserProfileUpdated{UserID: id(1).Hex(), Name: "y"})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.kept()[id(1).Hex()]; !slices.IsSorted([]string{got[0].Sequence, next.Sequence}) {
		t.Errorf("%s, then %s", got[0].Sequence, next.Sequence)
	}
}
