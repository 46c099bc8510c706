package outboxtable_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/outboxtable"
)

const simulationFaults = `
delay 15ms
kinesis.PutRecords          throttle=0.05 partial=0.1 timeout-before=0.03 timeout-after=0.05 denied=0.05
dynamodb.Query              throttle=0.03 internal=0.02 late=0.05
dynamodb.UpdateItem         throttle=0.03 timeout-after=0.03 partial=0.02 late=0.05
dynamodb.DeleteItem         throttle=0.05 timeout-after=0.03 partial=0.03 late=0.1
dynamodb.TransactWriteItems throttle=0.03 timeout-after=0.03 partial=0.03 late=0.05
dynamodb.Scan               throttle=0.05
`

// TestSimulation lets relays of both forms race for the same keys, and die in the
// middle of everything, while owners write, commit and cancel, and both services
// fail by a seed. In the end every event that was committed is on the stream, in
// order, repeats with all that follows, and the outbox is empty.
func TestSimulation(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	w := newWorld(t)
	s := &simulation{world: w, seed: seed, commits: map[string]int{}}
	w.faults(simulationFaults)
	var owners, relays sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i := range 4 {
		relays.Go(func() { s.relays(ctx, uint64(i)) })
	}
	for i := range 6 {
		owners.Go(func() { s.own(fmt.Sprint("k", i), rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	owners.Wait()
	cancel()
	relays.Wait()
	w.faults("")
	last := w.relay(outboxtable.Config{})
	eventually.True(t, "a sweep that finds no claim", func() bool { return !w.sweepFails(last) })
	if n := w.items(); n != 0 {
		t.Errorf("%d items are left", n)
	}
	got := w.published()
	repeats := 0
	for key, n := range s.commits {
		if err := inOrder(n, got[key]); err != nil {
			t.Errorf("key %s: %v", key, err)
		}
		repeats += len(got[key]) - n
	}
	if len(got["never"]) > 0 {
		t.Errorf("%d events of cancelled transactions are on the stream", len(got["never"]))
	}
	t.Logf("%d lives of relays, %d repeats, faults %v", s.lives, repeats, w.sandbox.Faults().Total())
}

type simulation struct {
	*world
	seed uint64

	mu      sync.Mutex
	commits map[string]int // of each key
	lives   int
}

// own writes the events of a key, one transaction after the other.
func (s *simulation) own(key string, r *rand.Rand) {
	for n := 1; n <= 50; n++ {
		if r.IntN(5) == 0 {
			s.cancelled(key)
		}
		for s.tryOnce(key, n) != nil {
			time.Sleep(time.Millisecond)
		}
		s.mu.Lock()
		s.commits[key] = n
		s.mu.Unlock()
		time.Sleep(time.Duration(r.ExpFloat64() * float64(6*time.Millisecond))) // as requests come
	}
}

// tryOnce is sure of the outcome: an entry that is found in the table or was
// relayed since a lost answer must not be written again, so the entity's own
// condition decides.
func (s *simulation) tryOnce(key string, n int) error {
	item, err := outboxtable.Item(table, event(key, n))
	if err != nil {
		return err
	}
	id := map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: key}}
	is := func(n int) types.AttributeValue { return &types.AttributeValueMemberN{Value: fmt.Sprint(n)} }
	_, err = s.dynamo.TransactWriteItems(context.Background(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Update: &types.Update{
			TableName: aws.String(entities), Key: id, UpdateExpression: aws.String("SET n = :n"),
			ConditionExpression:       aws.String("attribute_not_exists(n) OR n = :before"),
			ExpressionAttributeValues: map[string]types.AttributeValue{":n": is(n), ":before": is(n - 1)},
		}}, item,
	}})
	if err == nil {
		return nil
	}
	out, readErr := s.dynamo.GetItem(context.Background(), &dynamodb.GetItemInput{TableName: aws.String(entities), Key: id, ConsistentRead: aws.Bool(true)})
	if readErr == nil && len(out.Item) > 0 && out.Item["n"].(*types.AttributeValueMemberN).Value == fmt.Sprint(n) {
		return nil
	}
	return err
}

// cancelled begins a transaction that cannot commit.
func (s *simulation) cancelled(key string) {
	item, err := outboxtable.Item(table, event("never", 1))
	if err != nil {
		s.Error(err)
	}
	_, err = s.dynamo.TransactWriteItems(context.Background(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{item,
		{ConditionCheck: &types.ConditionCheck{
			TableName: aws.String(entities), Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: "nobody " + key}},
			ConditionExpression: aws.String("attribute_exists(id)"),
		}}}})
	if err == nil {
		s.Error("a transaction whose condition does not hold was committed")
	}
}

// relays lives, dies and lives again as a relay with a publisher of its own.
func (s *simulation) relays(ctx context.Context, number uint64) {
	r := rand.New(rand.NewPCG(s.seed, 100+number))
	for ctx.Err() == nil {
		p, err := kinesis.New(ctx, kinesis.Config{
			Client: s.kinesis, Stream: stream, BackoffMin: time.Millisecond, BackoffMax: 10 * time.Millisecond, RetryRefused: true,
		})
		if err != nil {
			continue
		}
		relay, err := outboxtable.New(outboxtable.Config{
			Client: s.dynamo, Table: table, Publisher: p, DeadLetters: &letters{fail: errors.New("there should be none")},
			Claim: 400 * time.Millisecond, Margin: 50 * time.Millisecond,
		})
		if err != nil {
			s.Error(err)
			return
		}
		life, die := context.WithTimeout(ctx, time.Duration(20+r.IntN(200))*time.Millisecond)
		s.live(life, relay, r)
		drop(p)
		die()
		s.mu.Lock()
		s.lives++
		s.mu.Unlock()
	}
}

// live sweeps and handles batches, in whatever order and however often, until
// life ends or events are in flight when it does.
func (s *simulation) live(life context.Context, relay *outboxtable.Relay, r *rand.Rand) {
	for life.Err() == nil {
		var err error
		if r.IntN(2) == 0 {
			_, err = relay.Sweep(life, 0)
		} else {
			var records []awsevents.DynamoDBEventRecord
			for n := range 1 + r.IntN(6) {
				records = append(records, change("INSERT", fmt.Sprint("k", r.IntN(6)), n))
			}
			_, err = relay.Handle(life, batch(records...))
		}
		if errors.Is(err, outboxtable.ErrInFlight) {
			return
		}
	}
}
