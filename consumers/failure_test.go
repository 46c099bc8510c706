package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/events"
)

// calls counts how often each key's handler was called.
type calls struct {
	mu    sync.Mutex
	byKey map[string]int
}

func (c *calls) add(m consumers.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey == nil {
		c.byKey = map[string]int{}
	}
	c.byKey[m.Event.PartitionKey]++
}

// keyed is a batch with one event for each key.
func keyed(t *testing.T, keys ...string) (records []awsevents.KinesisEventRecord) {
	for i, key := range keys {
		records = append(records, one(t, i+1, key))
	}
	return records
}

func keys(prefix string, n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprint(prefix, i))
	}
	return keys
}

// deliver is a mapping: it delivers what is left of a batch until all is done, and
// returns how often.
func deliver(t *testing.T, c *consumers.Consumer, timeout time.Duration, records []awsevents.KinesisEventRecord) (deliveries int) {
	t.Helper()
	for len(records) > 0 {
		if deliveries++; deliveries > 50 {
			t.Fatal("delivered 50 times")
		}
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		out, err := c.HandleKinesis(ctx, awsevents.KinesisEvent{Records: records})
		if err != nil || ctx.Err() != nil {
			t.Fatalf("delivery %d: %v, %v", deliveries, err, ctx.Err())
		}
		cancel()
		if len(out.BatchItemFailures) == 0 {
			break
		}
		lowest := out.BatchItemFailures[0].ItemIdentifier
		records = records[slices.IndexFunc(records, func(r awsevents.KinesisEventRecord) bool { return r.Kinesis.SequenceNumber == lowest }):]
	}
	return deliveries
}

func newConsumer(t *testing.T, cfg consumers.Config) *consumers.Consumer {
	t.Helper()
	cfg.Name = "test"
	c, err := consumers.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestASlowPoisonIsParked: with the defaults and a function of a minute, an event that
// always takes too long becomes a dead letter, and its neighbours are not applied again
// and again.
func TestASlowPoisonIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, called := &journal{}, &calls{}
		c := newConsumer(t, consumers.Config{DeadLetters: j, Handler: func(ctx context.Context, m consumers.Message) error {
			called.add(m)
			if m.Event.PartitionKey == "slow" && m.Position.Sequence == streamtest.Sequence(1) {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}})
		records := append(keyed(t, append([]string{"slow"}, keys("k", 99)...)...), one(t, 101, "slow"))
		deliveries := deliver(t, c, time.Minute, records)
		if len(j.letters) != 1 || j.letters[0].PartitionKey != "slow" || !strings.Contains(j.letters[0].Reason, "29s, its share of the invocation") {
			t.Errorf("dead letters %+v", j.letters)
		}
		total := 0
		for _, n := range called.byKey {
			total += n
		}
		if deliveries != 5 || called.byKey["slow"] != 5+1 || total != 99+6 {
			t.Errorf("%d deliveries; %d calls, %d for the key of the slow event", deliveries, total, called.byKey["slow"])
		}
	})
}

// TestAttemptsAreCountedAcrossProcesses: deliveries to several processes come to the same
// number, and what is no fault of the event is not counted.
func TestAttemptsAreCountedAcrossProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, notes := &journal{}, newNotes()
		away := true
		var all []*consumers.Consumer
		for range 3 {
			all = append(all, newConsumer(t, consumers.Config{DeadLetters: j, Notes: notes, Attempts: 4, Handler: func(ctx context.Context, _ consumers.Message) error {
				<-ctx.Done()
				if away {
					return consumers.Unavailable(ctx.Err())
				}
				return ctx.Err()
			}}))
		}
		invoke := func(n int) int {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			out, err := all[n%len(all)].HandleKinesis(ctx, awsevents.KinesisEvent{Records: keyed(t, "a", "b")})
			if err != nil {
				t.Fatal(err)
			}
			return len(out.BatchItemFailures)
		}
		for n := range 9 {
			if invoke(n) == 0 || len(j.letters) > 0 {
				t.Fatalf("given up while a table was away: %+v", j.letters)
			}
		}
		away = false
		deliveries := 0
		for ; len(j.letters) < 2; deliveries++ {
			if deliveries > 2*4 {
				t.Fatalf("%d dead letters after %d deliveries", len(j.letters), deliveries)
			}
			invoke(deliveries)
		}
	})
}

// TestADeafHandlerCostsItsEventAlone: a handler that ignores its context becomes a dead
// letter; when too many of them still run, the process is given no further batch.
func TestADeafHandlerCostsItsEventAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, called := &journal{}, &calls{}
		release := make(chan struct{})
		c := newConsumer(t, consumers.Config{DeadLetters: j, Concurrency: 2, Handler: func(_ context.Context, m consumers.Message) error {
			if strings.HasPrefix(m.Event.PartitionKey, "deaf") {
				<-release
			}
			called.add(m)
			return nil
		}})
		for n := range 32 {
			records := recs(one(t, 10*n+1, fmt.Sprint("deaf", n)), one(t, 10*n+2, fmt.Sprint("a", n)))
			if deliveries := deliver(t, c, time.Minute, records); deliveries != 1 || len(j.letters) != n+1 || called.byKey[fmt.Sprint("a", n)] != 1 {
				t.Fatalf("%d deliveries, dead letters %+v, calls %v", deliveries, j.letters, called.byKey)
			}
		}
		if reason := j.letters[0].Reason; !strings.Contains(reason, "ignored the end of its context") {
			t.Errorf("reason %q", reason)
		}
		_, err := c.HandleKinesis(t.Context(), awsevents.KinesisEvent{Records: keyed(t, "b")})
		if !errors.Is(err, consumers.ErrWornOut) {
			t.Errorf("with 32 handlers still running: %v", err)
		}
		close(release)
		synctest.Wait()
		if deliver(t, c, time.Minute, keyed(t, "b")); called.byKey["b"] != 1 {
			t.Errorf("after they ended: %v", called.byKey)
		}
	})
}

// TestADeafHandlerAtTheEndOfTheTime: the answer comes in time nevertheless, the event is
// delivered again, and becomes a dead letter when it is the first of its batch.
func TestADeafHandlerAtTheEndOfTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		release := make(chan struct{})
		c := newConsumer(t, consumers.Config{DeadLetters: j, Concurrency: 1, Handler: func(ctx context.Context, m consumers.Message) error {
			if m.Event.PartitionKey == "deaf" {
				<-release
				return nil
			}
			time.Sleep(20 * time.Second)
			return nil
		}})
		if n := deliver(t, c, time.Minute, keyed(t, "a", "b", "deaf", "c")); n != 2 {
			t.Errorf("%d deliveries", n)
		}
		if len(j.letters) != 1 || j.letters[0].PartitionKey != "deaf" {
			t.Errorf("dead letters %+v", j.letters)
		}
		close(release)
	})
}

// TestGoexit: a handler that ends its goroutine costs its event alone.
func TestGoexit(t *testing.T) {
	j, called := &journal{}, &calls{}
	failed := run(t, consumers.Config{Name: "test", DeadLetters: j, Concurrency: 1, Handler: func(_ context.Context, m consumers.Message) error {
		called.add(m)
		if m.Event.PartitionKey == "bad" {
			runtime.Goexit()
		}
		return nil
	}}, keyed(t, "a", "bad", "b", "bad", "c")...)
	if len(failed) > 0 || len(j.letters) != 2 || !strings.Contains(j.letters[0].Reason, "runtime.Goexit") || called.byKey["c"] != 1 {
		t.Errorf("reported %v, dead letters %+v, calls %v", failed, j.letters, called.byKey)
	}
	c := newConsumer(t, consumers.Config{DeadLetters: j, Handler: func(context.Context, consumers.Message) error { runtime.Goexit(); return nil }})
	if err := c.Redrive(t.Context(), j.letters[0]); err == nil || !strings.Contains(err.Error(), "runtime.Goexit") {
		t.Errorf("redriven: %v", err)
	}
}

// notes keeps notes in memory.
type notes struct {
	mu       sync.Mutex
	notes    map[noted]consumers.Note
	attempts map[noted]int
	writes   int
}

type noted struct {
	reader string
	events.Position
}

func newNotes() *notes {
	return &notes{notes: map[noted]consumers.Note{}, attempts: map[noted]int{}}
}

func (n *notes) ReadNotes(_ context.Context, reader string, upTo events.Position) (found []consumers.Note, _ error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p, note := range n.notes {
		if p.reader == reader && !upTo.Before(p.Position) {
			found = append(found, note)
		}
	}
	return found, nil
}

func (n *notes) WriteNote(_ context.Context, reader string, note consumers.Note) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notes[noted{reader, note.Batch}] = note
	n.writes++
	return nil
}

func (n *notes) AddAttempts(_ context.Context, reader string, p events.Position, more int) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.attempts[noted{reader, p}] += more
	n.writes++
	return n.attempts[noted{reader, p}], nil
}

// mortal is a process that can die: its consumer's handler then never returns.
type mortal struct {
	died    chan struct{}
	release chan struct{}
	once    sync.Once
}

func (p *mortal) die() {
	p.once.Do(func() { close(p.died) })
	<-p.release
}

// TestDeathsFindTheirEvent: the events that end the process are found after the deaths
// that the documentation of Notes says, and no other event is given up.
func TestDeathsFindTheirEvent(t *testing.T) {
	for _, c := range []struct {
		events, aggregate int
		deadly            []int
		most              int // deaths
	}{
		{events: 1, deadly: []int{0}, most: 3},
		{events: 2, deadly: []int{1}, most: 4},
		{events: 100, deadly: []int{0}, most: 5},
		{events: 100, deadly: []int{99}, most: 5},
		{events: 100, deadly: []int{41, 42}, most: 5 + 4},
		{events: 100, aggregate: 25, deadly: []int{60}, most: 5},
		{events: 1000, deadly: []int{500}, most: 6},
	} {
		t.Run(fmt.Sprint(c.events, " events, deadly ", c.deadly), func(t *testing.T) {
			j, called, notes, release := &journal{}, &calls{}, newNotes(), make(chan struct{})
			defer close(release)
			all := keys("k", c.events)
			records := keyed(t, all...)
			if c.aggregate > 0 {
				records = nil
				for at := 0; at < len(all); at += c.aggregate {
					records = append(records, many(t, at+1, all[at:at+c.aggregate]...))
				}
			}
			deaths := 0
			for done := false; !done; {
				p := &mortal{died: make(chan struct{}), release: release}
				consumer := newConsumer(t, consumers.Config{DeadLetters: j, Notes: notes, Concurrency: 1, Handler: func(_ context.Context, m consumers.Message) error {
					select {
					case <-p.died:
						p.die() // all of it
					default:
					}
					called.add(m)
					for _, n := range c.deadly {
						if m.Event.PartitionKey == all[n] {
							p.die()
						}
					}
					return nil
				}})
				if deaths == 0 { // it was warm: its death is not noted
					consumer.HandleKinesis(t.Context(), awsevents.KinesisEvent{Records: recs(one(t, 0, "before"))})
				}
				answered := make(chan int)
				go func() {
					out, _ := consumer.HandleKinesis(context.Background(), awsevents.KinesisEvent{Records: records})
					select {
					case answered <- len(out.BatchItemFailures):
					case <-p.died:
					}
				}()
				select {
				case n := <-answered:
					if done = true; n > 0 {
						t.Errorf("%d failures", n)
					}
				case <-p.died:
					if deaths++; deaths > c.most {
						t.Fatalf("more than %d deaths", c.most)
					}
				}
			}
			var given []string
			for _, l := range j.letters {
				given = append(given, l.PartitionKey)
			}
			want := []string{}
			for _, n := range c.deadly {
				want = append(want, all[n])
			}
			if !slices.Equal(given, want) || !strings.Contains(j.letters[0].Reason, "alone in hand") || len(j.letters[0].Raw) == 0 {
				t.Errorf("dead letters of %v, want %v: %+v", given, want, j.letters)
			}
			if most := 16*c.most + 2; notes.writes > most {
				t.Errorf("%d writes, want at most %d", notes.writes, most)
			}
			for key, n := range called.byKey {
				if n > c.most || n == 0 {
					t.Errorf("%s was handled %d times", key, n)
				}
			}
			if len(called.byKey) != c.events+1 {
				t.Errorf("%d events were handled", len(called.byKey)-1)
			}
		})
	}
}

// TestASurvivedFailureIsNoDeath: a table that is away for long ends no event, however
// often processes begin with it.
func TestASurvivedFailureIsNoDeath(t *testing.T) {
	j, notes := &journal{}, newNotes()
	for range 10 {
		c := newConsumer(t, consumers.Config{DeadLetters: j, Notes: notes, Attempts: 1, Handler: func(context.Context, consumers.Message) error {
			return consumers.Unavailable(errors.New("away"))
		}})
		out, err := c.HandleKinesis(t.Context(), awsevents.KinesisEvent{Records: keyed(t, "a")})
		if err != nil || len(out.BatchItemFailures) != 1 || len(j.letters) > 0 {
			t.Fatalf("%v, %+v, dead letters %+v", err, out, j.letters)
		}
	}
}

// TestNotesCostOneWrite: a process writes one note for the first batch of a shard, and
// none for those after it.
func TestNotesCostOneWrite(t *testing.T) {
	notes := newNotes()
	c := newConsumer(t, consumers.Config{DeadLetters: &journal{}, Notes: notes, Handler: (&journal{}).handler(nil)})
	for range 5 {
		deliver(t, c, time.Minute, keyed(t, "a", "b", "c"))
	}
	if notes.writes != 1 {
		t.Errorf("%d writes", notes.writes)
	}
}

// TestWhatIsFinishedIsOfItsStream: what is remembered of one stream's unfinished batch finishes
// nothing of another stream with the same sequence numbers, nor of the same one that is read anew
// from an earlier event on.
func TestWhatIsFinishedIsOfItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		called, fails := &calls{}, true
		c := newConsumer(t, consumers.Config{DeadLetters: &journal{}, Attempts: 1, Handler: func(_ context.Context, m consumers.Message) error {
			called.add(m)
			if fails && m.Event.PartitionKey == "head" {
				time.Sleep(time.Second) // meanwhile those behind it are finished
				return consumers.Unavailable(errors.New("the table is away"))
			}
			return nil
		}})
		records := keyed(t, "before", "head", "behind")
		of := func(stream string, records []awsevents.KinesisEventRecord) []awsevents.KinesisEventRecord {
			records = slices.Clone(records)
			for i := range records {
				records[i].EventSourceArn = "arn:aws:kinesis:us-east-1:000000000000:stream/" + stream
			}
			return records
		}
		handle := func(records []awsevents.KinesisEventRecord) {
			if _, err := c.HandleKinesis(t.Context(), awsevents.KinesisEvent{Records: records}); err != nil {
				t.Fatal(err)
			}
		}
		check := func(what string, behind int) {
			t.Helper()
			if n := called.byKey["behind"]; n != behind {
				t.Errorf("%s: the event behind the head was called %d times, want %d", what, n, behind)
			}
		}
		handle(of("orders", records))
		check("at first", 1)
		handle(of("orders", records[1:]))
		check("delivered again", 1)
		handle(of("payments", records[1:]))
		check("another stream", 2)
		fails = false
		handle(of("orders", records))
		check("read anew", 3)
	})
}

// TestANoteIsOfItsStream: what a process that died had finished is handled where another stream has
// the same sequence numbers, and where the same one is read anew from an earlier event on.
func TestANoteIsOfItsStream(t *testing.T) {
	const orders, payments = "arn:aws:kinesis:us-east-1:000000000000:stream/orders", "arn:aws:kinesis:us-east-1:000000000000:stream/payments"
	records := keyed(t, "before", "finished", "hand")
	for _, c := range []struct {
		stream string
		from   int
		want   int // calls for the event that the process had finished
	}{{orders, 1, 0}, {orders, 0, 1}, {payments, 1, 1}} {
		called, notes := &calls{}, newNotes()
		note := consumers.Note{Batch: at(2), From: at(3), InHand: 1, Alone: 1, At: time.Now()}
		if err := notes.WriteNote(t.Context(), "test@"+orders, note); err != nil {
			t.Fatal(err)
		}
		consumer := newConsumer(t, consumers.Config{DeadLetters: &journal{}, Notes: notes, Handler: func(_ context.Context, m consumers.Message) error {
			called.add(m)
			return nil
		}})
		batch := slices.Clone(records[c.from:])
		for i := range batch {
			batch[i].EventSourceArn = c.stream
		}
		if _, err := consumer.HandleKinesis(t.Context(), awsevents.KinesisEvent{Records: batch}); err != nil {
			t.Fatal(err)
		}
		if got := called.byKey["finished"]; got != c.want || called.byKey["hand"] != 1 || called.byKey["before"] != 1-c.from {
			t.Errorf("%s from %d: %v", c.stream, c.from, called.byKey)
		}
	}
}

func at(n int) events.Position { return events.Position{Sequence: streamtest.Sequence(n)} }
