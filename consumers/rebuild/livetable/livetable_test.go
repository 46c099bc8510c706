package livetable_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/rebuild/livetable"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a control table that can be out of reach, and a clock.
type world struct {
	*testing.T
	client *dynamodb.Client
	store  livetable.Store
	now    time.Time
	reads  int
	down   bool
	log    bytes.Buffer
}

var errDown = errors.New("out of reach by the test")

// GetItem implements [livetable.GetAPI].
func (w *world) GetItem(ctx context.Context, in *dynamodb.GetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	if w.reads++; w.down {
		return nil, errDown
	}
	return w.client.GetItem(ctx, in, o...)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db := streamtest.NewDynamoDB(t)
	w := &world{T: t, client: db.Client(nil), now: time.Now()}
	w.store = livetable.Store{Client: w.client, Table: db.CreateTable(dynamo.CompositeTable)}
	return w
}

func (w *world) follow() *livetable.Follower {
	w.Helper()
	f, err := livetable.Follow(livetable.Config{
		Client: w, Control: w.store.Table, Model: "orders", Default: "orders", Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
		Now: func() time.Time { return w.now },
	})
	sandboxtest.Must(w.T, err)
	return f
}

// set moves the pointer.
func (w *world) set(table, former string) livetable.Pointer {
	w.Helper()
	was, err := w.store.Get(w.Context(), "orders")
	sandboxtest.Must(w.T, err)
	now, err := w.store.Set(w.Context(), was, table, former)
	sandboxtest.Must(w.T, err)
	if again, err := w.store.Get(w.Context(), "orders"); err != nil || again != now {
		w.Errorf("%+v was written, and %+v read, %v", now, again, err)
	}
	return now
}

func (w *world) want(f *livetable.Follower, table string) {
	w.Helper()
	if got, err := f.Table(w.Context()); err != nil || got != table {
		w.Errorf("reads %q, want %q (%v)", got, table, err)
	}
}

// TestFollowedWithinTheAge: a change is seen when the age is over, with one reading an age, and
// not in the midst of a request that pinned its table.
func TestFollowedWithinTheAge(t *testing.T) {
	w := newWorld(t)
	f := w.follow()
	w.want(f, "orders")
	w.set("orders-b", "orders")
	w.now = w.now.Add(livetable.DefaultAge - 1)
	w.want(f, "orders")
	request, err := f.Pin(t.Context())
	sandboxtest.Must(t, err)
	w.now = w.now.Add(1)
	w.want(f, "orders-b")
	if table, err := f.Table(request); table != "orders" || err != nil {
		t.Errorf("a request changed its table to %q (%v)", table, err)
	}
	if w.reads != 2 {
		t.Errorf("%d readings, want 2", w.reads)
	}
	w.set("orders", "orders-b")
	w.now = w.now.Add(livetable.DefaultAge)
	var several sync.WaitGroup
	for range 8 {
		several.Go(func() { w.want(f, "orders") })
	}
	several.Wait()
	if w.reads != 3 {
		t.Errorf("%d readings by 8 requests, want one more than 2", w.reads)
	}
	if text := w.log.String(); strings.Count(text, "reading from another table") != 3 {
		t.Errorf("three tables, and the log is %s", text)
	}
}

// TestUnreadable: the last known table stays in use, which is logged, and without one there is
// an error and no guess.
func TestUnreadable(t *testing.T) {
	w := newWorld(t)
	w.set("orders-b", "orders")
	w.down = true
	f := w.follow()
	for range 2 { // the second without a reading
		if table, err := f.Table(t.Context()); !errors.Is(err, errDown) || table != "" {
			t.Errorf("reads %q before the pointer was known (%v)", table, err)
		}
	}
	if w.reads != 1 {
		t.Errorf("%d readings within the pause, want 1", w.reads)
	}
	w.down, w.now = false, w.now.Add(time.Second)
	w.want(f, "orders-b")
	w.set("orders", "orders-b")
	w.down, w.now = true, w.now.Add(time.Hour)
	w.want(f, "orders-b")
	if text := w.log.String(); !strings.Contains(text, "the last known table stays in use") || !strings.Contains(text, errDown.Error()) {
		t.Errorf("the log says nothing of it: %s", text)
	}
	w.down, w.now = false, w.now.Add(time.Second)
	w.want(f, "orders")

	_, err := w.client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &w.store.Table, Key: dynamo.Key("orders", "pointer")})
	sandboxtest.Must(t, err)
	w.now = w.now.Add(time.Hour)
	w.want(f, "orders")
	if text := w.log.String(); !strings.Contains(text, "has epoch 0 after 2") {
		t.Errorf("a deleted pointer is not noticed: %s", text)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	w.now = w.now.Add(time.Hour)
	w.want(f, "orders")
	if table, err := f.Table(ended); err == nil && table != "orders" { // either case of the select
		t.Errorf("%q, %v", table, err)
	}
}

// TestOneOfTwoWritersWins, and what is no pointer is refused.
func TestOneOfTwoWritersWins(t *testing.T) {
	w := newWorld(t)
	first := w.set("orders-b", "orders")
	w.set("orders", "orders-b")
	for _, was := range []livetable.Pointer{{Model: "orders"}, first} {
		if _, err := w.store.Set(t.Context(), was, "orders-c", ""); !errors.Is(err, livetable.ErrMoved) {
			t.Errorf("from %+v: %v", was, err)
		}
	}
	broken := dynamo.Key("orders", "pointer")
	broken["since"] = dynamo.String(time.Now().Format(time.RFC3339Nano))
	_, err := w.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &w.store.Table, Item: broken})
	sandboxtest.Must(t, err)
	if _, err := w.store.Get(t.Context(), "orders"); err == nil || !strings.Contains(err.Error(), "names no table") {
		t.Errorf("an item that is no pointer: %v", err)
	}
	other := livetable.Store{Client: w.client, Table: "none"}
	if _, err := other.Get(t.Context(), "orders"); err == nil || !strings.Contains(err.Error(), `no table "none": create it`) {
		t.Errorf("without a control table: %v", err)
	}
	if _, err := livetable.Follow(livetable.Config{Client: w, Model: aws.ToString(nil)}); err == nil {
		t.Error("a follower of nothing")
	}
}
