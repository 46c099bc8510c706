package mongodb_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/publishers/direct"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/streamtest"
	"github.com/banyan-fig/banyan/services/entity"
)

const stream = "events"

func (w *world) stream() *awskinesis.Client {
	w.t.Helper()
	server, err := sandbox.New(sandbox.Config{Transition: time.Millisecond})
	if err != nil {
		w.t.Fatal(err)
	}
	front := httptest.NewServer(server)
	w.t.Cleanup(front.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	w.t.Cleanup(transport.CloseIdleConnections)
	client := streamtest.NewClient(front.URL, transport)
	if err := streamtest.Create(w.t.Context(), client, stream, 1); err != nil {
		w.t.Fatal(err)
	}
	return client
}

// outbox publishes to a stream, as a process does.
func (w *world) outbox(client *awskinesis.Client) *direct.Outbox {
	w.t.Helper()
	p, err := kinesis.New(w.t.Context(), kinesis.Config{Client: client, Stream: stream})
	if err != nil {
		w.t.Fatal(err)
	}
	closing(w.t, p.Close)
	o, err := direct.New(direct.Config{Publisher: p, Boxes: []direct.Box{w.Box()}, Patience: 150 * time.Millisecond, SweepEvery: 50 * time.Millisecond})
	if err != nil {
		w.t.Fatal(err)
	}
	closing(w.t, o.Close)
	return o
}

func closing(t *testing.T, end func(context.Context) error) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := end(ctx); err != nil {
			t.Error(err)
		}
	})
}

// member is one of an entity that nobody moves.
type member struct{ always }

func (m member) Write(ctx context.Context, fn func(context.Context, ownership.Grant) error) error {
	return m.Read(ctx, fn)
}

func (member) Record() ownership.Record { return ownership.Record{} }

// killed is a process that dies behind a write.
type killed struct{}

func (killed) Publish(context.Context, direct.Write) (events.Position, error) {
	return events.Position{}, errors.New("killed")
}

// gone is the tag of what is not there.
const gone = "gone"

// link is what an event says of its document: its tags, which are different for all writes.
type link struct {
	From string `bson:"From"`
	To   string `bson:"To"`
}

// TestOrder: several processes make, change and delete the same documents, and some die
// behind a write. All events are on the stream, in the order of the writes, so that each
// begins with what the one before made; nothing waits in the end.
func TestOrder(t *testing.T) {
	w := newWorld(t)
	client := w.stream()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const keys, writes = 3, 15
	var writers sync.WaitGroup
	for process := range 3 {
		o := w.outbox(client)
		for n, out := range []entity.Outbox{o, o, killed{}} {
			s, err := entity.New(entity.Config{Plan: w.plan, Member: member{}, MongoDB: w.Backend, DynamoDB: w.Backend, Outbox: out})
			if err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(seed, uint64(10*process+n)))
			writers.Go(func() {
				for i := range writes {
					w.change(s, r.IntN(keys), fmt.Sprint(process, ".", n, ".", i), r.IntN(4))
				}
			})
		}
	}
	writers.Wait()
	for deadline := time.Now().Add(time.Minute); w.left() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("events wait in %d documents", w.left())
		}
	}
	w.chained(client)
}

// change makes one random write.
func (w *world) change(s *entity.Store, key int, tag string, what int) {
	tagOf := func(doc bson.Raw) string {
		if doc == nil {
			return gone
		}
		return doc.Lookup("tag").StringValue()
	}
	o := entity.Options{Tell: func(_ context.Context, before, after bson.Raw) ([]events.Event, error) {
		e := w.event(fmt.Sprint(tag, "-", tagOf(before)))
		e.PartitionKey, e.Subject = fmt.Sprint(key), fmt.Sprint(key)
		e.Data = fmt.Appendf(nil, `{"From":%q,"To":%q}`, tagOf(before), tagOf(after))
		return []events.Event{e}, nil
	}}
	ctx, id := w.t.Context(), fmt.Sprint("k", key)
	doc := bson.D{{Key: "_id", Value: id}, {Key: "tag", Value: tag}}
	var err error
	switch what {
	case 0:
		_, err = s.Create(ctx, raw(w.t, doc), o)
	case 1:
		_, err = s.Delete(ctx, id, o)
	default:
		_, err = s.Update(ctx, id, func(bson.Raw) (bson.Raw, error) { return raw(w.t, doc), nil }, o)
	}
	for _, of := range []error{nil, entity.ErrExists, entity.ErrNotFound, entity.ErrNotPublished, entity.ErrConflict} {
		if errors.Is(err, of) {
			return
		}
	}
	w.t.Error(err)
}

func (w *world) left() (n int) {
	if err := w.Box().Each(w.t.Context(), func([]direct.Entry) error { n++; return nil }); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// chained checks that the first occurrences of the events of each key follow one another.
func (w *world) chained(client *awskinesis.Client) {
	w.t.Helper()
	all, err := streamtest.Read(w.t.Context(), client, stream)
	if err != nil {
		w.t.Fatal(err)
	}
	last, seen := map[string]string{}, map[string]bool{}
	for _, e := range all {
		if seen[e.ID] {
			continue
		}
		seen[e.ID] = true
		var l link
		if err := bson.UnmarshalExtJSON(e.Data, false, &l); err != nil {
			w.t.Fatal(err)
		}
		if was, ok := last[e.PartitionKey]; ok && was != l.From || !ok && l.From != gone {
			w.t.Errorf("the event %s of %s is about a change of %s, and what was told before made %s", e.ID, e.PartitionKey, l.From, was)
		}
		last[e.PartitionKey] = l.To
	}
	for key, tag := range last {
		doc := w.get("k" + key)
		if is := doc.Lookup("tag"); doc == nil && tag != gone || doc != nil && is.StringValue() != tag {
			w.t.Errorf("%s was told to be %s, and is %s", key, tag, doc)
		}
	}
	w.t.Logf("%d events, %d on the stream", len(seen), len(all))
}
