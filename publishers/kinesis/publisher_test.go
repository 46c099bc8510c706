package kinesis_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/aggregate"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/publisherstest"
)

func withFault(cfg sandbox.Config, see func(operation string), draw func(operation, resource string) fault.Fault) sandbox.Config {
	cfg.Fault = func(operation, resource string) fault.Fault {
		f := draw(operation, resource)
		see(operation)
		return f
	}
	return cfg
}

func joined(t *testing.T, user string) events.Event {
	t.Helper()
	e, err := events.New(context.Background(), "/test", social.UserJoined{UserID: user, Name: "Ada", JoinedAt: time.Unix(0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestPublishReturnsWhereTheEventIs(t *testing.T) {
	w := newWorld(t, 2, sandbox.Config{})
	p := w.publisher(kinesis.Config{})
	e := joined(t, "u1")
	pos, err := p.Publish(within(t, patience), e)
	if err != nil {
		t.Fatal(err)
	}
	all := w.read()
	if len(all) != 1 || all[0].pos != pos || all[0].key != "u1" {
		t.Fatalf("published at %v, found %+v", pos, all)
	}
	got, err := events.Decode([]byte(all[0].data))
	if err != nil || got.ID != e.ID {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := p.Close(within(t, patience)); err != nil {
		t.Error(err)
	}
}

func TestALoneEventIsAPlainRecord(t *testing.T) {
	w := newWorld(t, 1, sandbox.Config{})
	requests := make(chan []types.PutRecordsRequestEntry, 10)
	m := &meddler{API: w.client}
	m.put = func(in *awskinesis.PutRecordsInput, send putFunc) (*awskinesis.PutRecordsOutput, error) {
		requests <- in.Records
		return send(in)
	}
	p := w.publisher(kinesis.Config{Client: m, Linger: time.Minute})
	w.enqueue(p, "a", 0)
	flush(t, p)
	w.enqueue(p, "a", 1)
	w.enqueue(p, "b", 0)
	flush(t, p)
	if one := <-requests; len(one) != 1 || aggregate.IsAggregate(one[0].Data) || one[0].ExplicitHashKey != nil {
		t.Errorf("one event went as %+v", one)
	}
	two := <-requests
	if len(two) != 1 || !aggregate.IsAggregate(two[0].Data) || aws.ToString(two[0].ExplicitHashKey) != "0" {
		t.Errorf("two events went as %+v", two)
	}
}

func TestAnEventThatCanNeverFitIsRefusedAtOnce(t *testing.T) {
	w := newWorld(t, 1, sandbox.Config{Unlimited: true})
	p := w.publisher(kinesis.Config{})
	fits := make([]byte, 1<<20-3)
	if _, err := p.EnqueueEncoded(within(t, patience), "key", append(fits, 0)); !errors.Is(err, kinesis.ErrTooLarge) || !strings.Contains(err.Error(), "facts") {
		t.Errorf("got %v", err)
	}
	r, err := p.EnqueueEncoded(within(t, patience), "key", fits)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Wait(within(t, patience)); err != nil {
		t.Error(err)
	}
	if s := p.Stats(); s.Events != 1 || s.Pending != 0 {
		t.Errorf("%+v", s)
	}
}

func TestLargeEventsAmongSmallOnes(t *testing.T) {
	w := newWorld(t, 1, sandbox.Config{Unlimited: true})
	p := w.publisher(kinesis.Config{})
	var published []sent
	for i := range 60 {
		data := publisherstest.Body("k", i)
		if i%7 == 0 {
			data = append(data, bytes.Repeat([]byte("x"), 300_000+i*10_000)...)
		}
		r, err := p.EnqueueEncoded(within(t, patience), "k", data)
		if err != nil {
			t.Fatal(err)
		}
		published = append(published, sent{"k", i, r})
	}
	flush(t, p)
	var numbers []int
	for _, f := range w.read() {
		n, err := publisherstest.Number(f.record())
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	if err := publisherstest.CheckOrder("k", numbers, len(published)); err != nil {
		t.Error(err)
	}
}

func TestPublishWaitsWhileFull(t *testing.T) {
	for name, cfg := range map[string]kinesis.Config{
		"events": {MaxPending: 4},
		"bytes":  {MaxRecordBytes: 1024, MaxPendingBytes: 1024, AggregateBytes: 1024},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, sandbox.Config{})
			m, release := blocked(w)
			cfg.Client = m
			p := w.publisher(cfg)
			data := bytes.Repeat([]byte("x"), 256)
			var results []publishers.Receipt
			for range 4 {
				r, err := p.EnqueueEncoded(within(t, patience), "k", data)
				if err != nil {
					t.Fatal(err)
				}
				results = append(results, r)
			}
			short, cancel := context.WithTimeout(within(t, patience), 20*time.Millisecond)
			defer cancel()
			_, err := p.EnqueueEncoded(short, "k", data)
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "not enqueued: 4 events with 1024 bytes wait") {
				t.Errorf("got %v", err)
			}
			time.AfterFunc(5*time.Millisecond, release)
			r, err := p.EnqueueEncoded(within(t, patience), "k", data)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range append(results, r) {
				if _, err := r.Wait(within(t, patience)); err != nil {
					t.Error(err)
				}
			}
			if s := p.Stats(); s.Events != 5 || s.Pending != 0 || s.PendingBytes != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestRefuseWhenFull(t *testing.T) {
	w := newWorld(t, 1, sandbox.Config{})
	m, release := blocked(w)
	p := w.publisher(kinesis.Config{Client: m, MaxPending: 1, RefuseWhenFull: true})
	w.enqueue(p, "k", 0)
	if _, err := p.Publish(within(t, patience), joined(t, "u")); !errors.Is(err, kinesis.ErrFull) {
		t.Errorf("got %v", err)
	}
	if s := p.Stats(); s.Pending != 1 || s.OldestAge <= 0 {
		t.Errorf("%+v", s)
	}
	release()
	flush(t, p)
}

func TestACancelledPublishIsStillSent(t *testing.T) {
	w := newWorld(t, 1, sandbox.Config{})
	m, release := blocked(w)
	p := w.publisher(kinesis.Config{Client: m})
	ctx, cancel := context.WithTimeout(within(t, patience), 10*time.Millisecond)
	defer cancel()
	if _, err := p.Publish(ctx, joined(t, "u")); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "will be sent") {
		t.Errorf("got %v", err)
	}
	release()
	flush(t, p)
	if all := w.read(); len(all) != 1 {
		t.Errorf("found %v", all)
	}
}

func TestCloseSendsWhatIsPending(t *testing.T) {
	w := newWorld(t, 3, sandbox.Config{})
	p := w.publisher(kinesis.Config{Linger: time.Hour})
	var published []sent
	for i := range 100 {
		published = append(published, w.enqueue(p, fmt.Sprint("k", i%10), i/10))
	}
	if err := p.Close(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	w.check(published)
	if _, err := p.Publish(within(t, patience), joined(t, "u")); !errors.Is(err, kinesis.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := p.Close(within(t, patience)); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if err := p.Flush(within(t, patience)); err != nil {
		t.Errorf("Flush after Close: %v", err)
	}
}

func TestCloseAccountsForWhatItCouldNotSend(t *testing.T) {
	t.Parallel()
	injector, cfg := faulty(t, "kinesis.PutRecords timeout-before=1", 1)
	w := newWorld(t, 1, cfg)
	p := w.publisher(kinesis.Config{AggregateBytes: 40, MaxPending: 5, BackoffMin: time.Millisecond})
	var published []sent
	for i := range 5 {
		published = append(published, w.enqueue(p, "k", i))
	}
	refused := make(chan error)
	go func() {
		_, err := p.EnqueueEncoded(within(t, patience), "k", []byte("x"))
		refused <- err
	}()
	w.awaitStats(p, func(s kinesis.Stats) bool { return s.UnknownOutcomes > 0 })
	ctx, cancel := context.WithTimeout(within(t, patience), 300*time.Millisecond)
	defer cancel()
	err := p.Close(ctx)
	var unsent *kinesis.UnsentError
	if !errors.As(err, &unsent) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if unsent.Events != 5 || unsent.MaybeSent < 1 || unsent.MaybeSent >= 5 || unsent.Last == nil {
		t.Errorf("got %+v", unsent)
	}
	for _, s := range published {
		if _, err := s.result.Wait(within(t, patience)); !errors.Is(err, kinesis.ErrClosed) {
			t.Errorf("event %d: %v", s.number, err)
		}
	}
	if err := <-refused; !errors.Is(err, kinesis.ErrClosed) {
		t.Errorf("who waited for a place got %v", err)
	}
	injector.Switch(false)
}

func TestPublishAndCloseRace(t *testing.T) {
	w := newWorld(t, 2, sandbox.Config{Unlimited: true})
	p := w.publisher(kinesis.Config{MaxPending: 20})
	var mu sync.Mutex
	kept := make(map[string]bool)
	var publishing sync.WaitGroup
	for i := range 8 {
		publishing.Go(func() {
			for n := 0; ; n++ {
				data := string(publisherstest.Body(fmt.Sprint("k", i), n))
				r, err := p.EnqueueEncoded(within(t, patience), fmt.Sprint("k", i), []byte(data))
				if err == nil {
					_, err = r.Wait(within(t, patience))
				}
				if err != nil {
					if !errors.Is(err, kinesis.ErrClosed) {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				kept[data] = true
				mu.Unlock()
			}
		})
	}
	w.awaitStats(p, func(s kinesis.Stats) bool { return s.Events > 100 })
	if err := p.Close(within(t, patience)); err != nil {
		t.Error(err)
	}
	w.join(&publishing)
	for _, f := range w.read() {
		delete(kept, f.data)
	}
	if len(kept) != 0 {
		t.Errorf("acknowledged and lost: %v", kept)
	}
}

func TestAThrottledShardDoesNotSlowTheOthers(t *testing.T) {
	w := newWorld(t, 2, sandbox.Config{Unlimited: true})
	slow := w.open()[0]
	m := &meddler{API: w.client}
	m.put = func(in *awskinesis.PutRecordsInput, send putFunc) (*awskinesis.PutRecordsOutput, error) {
		if slow.contains(*in.Records[0].PartitionKey) {
			return nil, &types.ProvisionedThroughputExceededException{}
		}
		return send(in)
	}
	p := w.publisher(kinesis.Config{Client: m})
	var fast []sent
	for i := range 200 {
		key := fmt.Sprint("k", i)
		s := w.enqueue(p, key, 0)
		if !slow.contains(key) {
			fast = append(fast, s)
		}
	}
	for _, s := range fast {
		if _, err := s.result.Wait(within(t, patience)); err != nil {
			t.Fatal(err)
		}
	}
	w.awaitStats(p, func(s kinesis.Stats) bool { return s.Throttles > 0 })
	if s := p.Stats(); s.Pending != 200-len(fast) {
		t.Errorf("%+v", s)
	}
	err := p.Flush(canceled())
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "ProvisionedThroughputExceeded") {
		t.Errorf("flush says %v", err)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	w := newWorld(t, 1, sandbox.Config{})
	_, err := kinesis.New(within(t, patience), kinesis.Config{Client: w.client, Stream: "nowhere"})
	contains(t, err, `stream "nowhere"`, "region eu-west-1", "endpoint "+w.url, "ResourceNotFoundException", "create it")

	nobody := "http://" + linktest.Refusing(t)
	_, err = kinesis.New(within(t, patience), kinesis.Config{Client: newClient(t, nobody), Stream: "facts", BackoffMin: time.Millisecond})
	contains(t, err, nobody, "refused", "AWS_ENDPOINT_URL")

	p := w.publisher(kinesis.Config{})
	if _, err := w.client.DeleteStream(within(t, patience), &awskinesis.DeleteStreamInput{StreamName: aws.String(stream)}); err != nil {
		t.Fatal(err)
	}
	_, err = p.Publish(within(t, patience), joined(t, "u"))
	contains(t, err, `stream "facts"`, "ResourceNotFoundException", "create it")
	if s := p.Stats(); s.Failed != 1 || s.Pending != 0 {
		t.Errorf("%+v", s)
	}
	contains(t, p.Flush(within(t, patience)), "1 events failed")
}

func contains(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Error("no error")
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func TestPublishRefusesWhatIsNoEvent(t *testing.T) {
	w := newWorld(t, 1, sandbox.Config{})
	p := w.publisher(kinesis.Config{})
	if _, err := p.Publish(within(t, patience), events.Event{}); !errors.Is(err, events.ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

func TestEnqueueEncodedRefusesWhatWouldFailItsNeighbours(t *testing.T) {
	w := newWorld(t, 1, sandbox.Config{})
	p := w.publisher(kinesis.Config{})
	for _, tc := range []struct{ key, data string }{
		{"", "x"}, {strings.Repeat("é", 257), "x"}, {"\xff", "x"}, {"k", ""},
	} {
		if _, err := p.EnqueueEncoded(within(t, patience), tc.key, []byte(tc.data)); !errors.Is(err, events.ErrMalformed) {
			t.Errorf("%.10q %q: got %v", tc.key, tc.data, err)
		}
	}
	r, err := p.EnqueueEncoded(within(t, patience), strings.Repeat("é", 256), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Wait(within(t, patience)); err != nil {
		t.Error(err)
	}
}

// TestTheLimitOfAShard runs into the 1,000 records a second that a shard takes:
// the sandbox keeps the head of a request and refuses the tail.
func TestTheLimitOfAShard(t *testing.T) {
	t.Parallel()
	var second atomic.Pointer[time.Time] // while it lasts
	w := newWorld(t, 1, sandbox.Config{Now: func() time.Time { return *cmp.Or(second.Load(), aws.Time(time.Now())) }})
	second.Store(aws.Time(time.Now()))
	p := w.publisher(kinesis.Config{NoAggregation: true})
	var published []sent
	for i := range 2400 { // more than two seconds' worth
		published = append(published, w.enqueue(p, fmt.Sprint("k", i%350), i/350))
	}
	w.awaitStats(p, func(s kinesis.Stats) bool { return s.Throttles > 0 })
	second.Store(nil)
	flush(t, p)
	if n := w.check(published); n != 0 {
		t.Errorf("%d duplicates", n)
	}
}

func TestConfigNamesWhatIsWrong(t *testing.T) {
	w := newWorld(t, 1, sandbox.Config{})
	for part, cfg := range map[string]kinesis.Config{
		"Client is missing": {Stream: "s"},
		"Stream is missing": {Client: w.client},
		"MaxPending ":       {MaxPending: -1},
		"MaxPendingBytes":   {MaxPendingBytes: 10},
		"MaxRecordBytes":    {MaxRecordBytes: 11 << 20},
		"AggregateBytes":    {AggregateBytes: 2 << 20},
		"MaxRequestBytes":   {MaxRequestBytes: 1000},
		"MaxRequestRecords": {MaxRequestRecords: 501},
		"AttemptTimeout":    {AttemptTimeout: -1},
		"BackoffMin":        {BackoffMin: 2, BackoffMax: 1},
	} {
		contains(t, cfg.Validate(), part)
	}
	if err := (kinesis.Config{Client: w.client, Stream: "s"}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestNewFailsWhenListingHangs(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	m := &meddler{API: hangingLister{hang}}
	start := time.Now()
	_, err := kinesis.New(within(t, patience), kinesis.Config{
		Client: m, Stream: "s", AttemptTimeout: time.Millisecond, BackoffMin: time.Millisecond, BackoffMax: time.Millisecond,
	})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > patience/2 {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}

type hangingLister struct{ hang chan struct{} }

func (h hangingLister) ListShards(ctx context.Context, _ *awskinesis.ListShardsInput, _ ...func(*awskinesis.Options)) (*awskinesis.ListShardsOutput, error) {
	select {
	case <-ctx.Done():
	case <-h.hang:
	}
	return nil, ctx.Err()
}

func (hangingLister) PutRecords(context.Context, *awskinesis.PutRecordsInput, ...func(*awskinesis.Options)) (*awskinesis.PutRecordsOutput, error) {
	return nil, errors.New("not asked for")
}

// TestATimedOutAttemptIsSentAgain hangs longer than an attempt may take, after
// the effect.
func TestATimedOutAttemptIsSentAgain(t *testing.T) {
	w := newWorld(t, 1, sandbox.Config{Unlimited: true})
	m := &meddler{API: w.client}
	calls := 0
	m.put = func(in *awskinesis.PutRecordsInput, send putFunc) (*awskinesis.PutRecordsOutput, error) {
		out, err := send(in)
		if calls++; calls == 1 {
			return nil, context.DeadlineExceeded
		}
		return out, err
	}
	p := w.publisher(kinesis.Config{Client: m, Linger: time.Minute}) // so that both are in one request
	published := []sent{w.enqueue(p, "k", 0), w.enqueue(p, "k", 1)}
	flush(t, p)
	published = append(published, w.enqueue(p, "k", 2))
	flush(t, p)
	if n := w.check(published); n != 2 {
		t.Errorf("%d duplicates, want those of the request in doubt", n)
	}
	var numbers []int
	for _, f := range w.read() {
		n, _ := publisherstest.Number(f.record())
		numbers = append(numbers, n)
	}
	if want := []int{0, 1, 0, 1, 2}; !slices.Equal(numbers, want) {
		t.Errorf("got %v", numbers)
	}
}
