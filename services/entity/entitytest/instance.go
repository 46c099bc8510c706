package entitytest

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/owned"
	"github.com/banyan-fig/banyan/publishers/direct"
	"github.com/banyan-fig/banyan/publishers/streamtest"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/entity/dynamodb"
	"github.com/banyan-fig/banyan/services/entity/mongodb"
)

// instance is a process of the service, with connections of its own.
type instance struct {
	Store
	store  *entity.Store // in the process
	member *ownership.Member
	clock  *clock
}

// network is what lies between a process and its databases.
type network struct {
	link *linktest.Link
	over func(http.RoundTripper) http.RoundTripper // before the link, to DynamoDB; nil for nothing
	// lease is that of the process; 0 for the default.
	lease time.Duration
}

// newInstance starts one that ends with the test.
func (w *world) newInstance(t *testing.T, n network) *instance {
	t.Helper()
	i := &instance{clock: &clock{}}
	client, err := w.dial(n.link.Dialer(nil))("entitytest", "", nil)
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = client.Disconnect(ctx)
	})
	tables := awsdynamodb.New(w.dynamoDB.Options(), func(o *awsdynamodb.Options) {
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.MaxBackoff, o.RateLimiter = 5, 50*time.Millisecond, ratelimit.None
		})
		o.HTTPClient = httpClient(t, func(next http.RoundTripper) http.RoundTripper {
			if next = n.link.RoundTripper(next); n.over != nil {
				next = n.over(next)
			}
			return next
		})
	})
	p, db := w.cfg.Plan, mongoclient.Of(client.Database(w.db.Name()))
	i.member, err = ownership.Join(t.Context(), ownership.MemberConfig{Table: ownership.NewTable(tables, controlTable), Entity: p.Entity,
		Service: "entitytest", Probe: owned.New(db, p.Source.Collection).Probe, Clock: i.clock, Lease: n.lease})
	must(t, err)
	documents, items := mongodb.New(db, p, i.member), dynamodb.New(tables, p)
	t.Cleanup(func() { i.leave(t) })
	publisher := w.publisher(t)
	boxes := []direct.Box{documents.Box()}
	if p.Outbox.Table != "" {
		boxes = append(boxes, items.Box())
	}
	outbox, err := direct.New(direct.Config{Publisher: publisher, Boxes: boxes, SweepEvery: 100 * time.Millisecond, Patience: 500 * time.Millisecond})
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		must(t, outbox.Close(ctx))
	})
	must(t, i.member.Write(t.Context(), func(ctx context.Context, g ownership.Grant) error {
		if g.Owner != ownership.MongoDB {
			return nil
		}
		return documents.Prepare(ctx, g, true)
	}))
	i.store, err = entity.New(entity.Config{Plan: p, Member: i.member, MongoDB: documents, DynamoDB: items, Outbox: outbox, Publisher: publisher})
	must(t, err)
	t.Cleanup(i.store.Close)
	if i.Store = i.store; w.cfg.Through != nil {
		i.Store = w.cfg.Through(t, i.store)
	}
	return i
}

func (i *instance) leave(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	must(t, i.member.Leave(ctx))
}

// clock is the time of one process, which can be set.
type clock struct {
	mu   sync.Mutex
	jump time.Duration
}

// Now returns the time as the process sees it.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.jump)
}

// After sends the time once d has passed.
func (c *clock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// set sets the clock forward, or back.
func (c *clock) set(jump time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.jump = jump
}

// eventType is that of all events of the suite.
const eventType = "entitytest.written"

// note is what an event of the suite says of a write.
type note struct {
	Before int64  `json:"before"` // versions, 0 for none
	After  int64  `json:"after"`
	Value  string `json:"value"` // behind the write
}

// sequence numbers the events of the suite.
var sequence events.Clock

// tell makes the event of a write.
func (i *instance) tell(_ context.Context, before, after bson.Raw) ([]events.Event, error) {
	n := note{Before: i.Version(before), After: i.Version(after)}
	doc := before
	if after != nil {
		doc = after
		n.Value, _ = after.Lookup(valueField).StringValueOK()
	}
	data, err := json.Marshal(n)
	if err != nil {
		return nil, err
	}
	key, err := i.Plan().Codec().KeyOfID(doc.Lookup("_id"))
	if err != nil {
		return nil, err
	}
	return []events.Event{{ID: uuid.NewString(), Source: "/entitytest", Type: eventType, Version: 1, Subject: codec.KeyText(key), Time: time.Now().UTC(),
		PartitionKey: codec.KeyText(key), Sequence: sequence.Next(), Data: data}}, nil
}

// told is an event as it lies on the stream.
type told struct {
	note
	at    events.Position
	again []events.Position
}

// told reads the events of a document, in the order in which they came first.
func (w *world) told(t *testing.T, id bson.RawValue) (all []told) {
	t.Helper()
	key, err := w.cfg.Plan.Codec().KeyOfID(id)
	must(t, err)
	records, err := streamtest.Records(t.Context(), w.stream, streamName)
	must(t, err)
	seen := map[string]int{}
	for _, r := range records {
		if r.PartitionKey != codec.KeyText(key) {
			continue
		}
		e, err := events.Decode(r.Data)
		must(t, err)
		if i, again := seen[e.ID]; again {
			all[i].again = append(all[i].again, r.Position)
			continue
		}
		seen[e.ID] = len(all)
		one := told{at: r.Position}
		must(t, json.Unmarshal(e.Data, &one.note))
		all = append(all, one)
	}
	return all
}
