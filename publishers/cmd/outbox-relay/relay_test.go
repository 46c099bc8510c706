package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/outboxtable"
	"github.com/banyan-fig/banyan/publishers/publisherstest"
)

// What the function's world does to it: it is throttled, its answers and its
// batches are lost and repeated, it is killed in the middle, and both services
// that it uses fail.
const trouble = `
delay 20ms
lambda.Invoke               throttle=0.03 timeout-after=0.05 partial=0.15 duplicate=0.1 late=0.05
kinesis.PutRecords          throttle=0.05 partial=0.1 timeout-before=0.02 timeout-after=0.05 denied=0.03
dynamodb.Query              throttle=0.03 internal=0.02
dynamodb.UpdateItem         throttle=0.03 timeout-after=0.03 partial=0.02
dynamodb.DeleteItem         throttle=0.05 timeout-after=0.03 partial=0.03
dynamodb.TransactWriteItems throttle=0.03 timeout-after=0.03 partial=0.03
dynamodb.GetRecords         throttle=0.05
`

// TestTheFunctionLosesNothing: all that is committed while the function lives
// through trouble, with a sweep beside it, is on the stream, in order, and the
// outbox is empty in the end. Lanes do not matter.
func TestTheFunctionLosesNothing(t *testing.T) {
	for _, lanes := range []int32{1, 4} {
		t.Run(fmt.Sprint(lanes, " lanes"), func(t *testing.T) {
			t.Parallel()
			seed := uint64(time.Now().UnixNano())
			w := newWorld(t, seed)
			w.deploy(10, lanes)
			w.plan(trouble)
			stopSweep := w.sweepBeside()
			const keys, each = 6, 40
			var owners sync.WaitGroup
			for i := range keys {
				r := rand.New(rand.NewPCG(seed, uint64(i)))
				owners.Go(func() {
					for n := 1; n <= each; n++ {
						w.write(fmt.Sprint("k", i), n)
						time.Sleep(time.Duration(r.ExpFloat64() * float64(20*time.Millisecond))) // as requests come
					}
				})
			}
			owners.Wait()
			stopSweep()
			w.plan("")
			w.empty()
			got := w.published()
			for i := range keys {
				key := fmt.Sprint("k", i)
				if err := publisherstest.CheckOrder(key, got[key], each); err != nil {
					t.Error(err)
				}
			}
			if t.Failed() {
				t.Logf("seed %d", seed)
			}
		})
	}
}

// sweepBeside sweeps from another process's place until it is stopped.
func (w *world) sweepBeside() (stop func()) {
	w.Helper()
	p, err := kinesis.New(w.Context(), kinesis.Config{Client: w.kinesis, Stream: stream, BackoffMax: 50 * time.Millisecond})
	if err != nil {
		w.Fatal(err)
	}
	r, err := outboxtable.New(outboxtable.Config{
		Client: w.dynamo, Table: table, Publisher: p, Claim: 5 * time.Second, // longer than a busy machine stops a process
		DeadLetters: letters{deadletter.New(w.dynamo, letterTable), quiet()},
	})
	if err != nil {
		w.Fatal(err)
	}
	ended := make(chan struct{})
	var sweeping sync.WaitGroup
	sweeping.Go(func() {
		for {
			_, _ = r.Sweep(w.Context(), 30*time.Millisecond)
			select {
			case <-ended:
				return
			case <-time.After(25 * time.Millisecond):
			}
		}
	})
	return func() {
		close(ended)
		sweeping.Wait()
		if err := p.Close(context.WithoutCancel(w.Context())); err != nil {
			w.Error(err)
		}
	}
}

// TestTheFunctionIsNeverFrozenInFlight: when Kinesis hangs for longer than the
// function may run, its process ends, and the next one publishes.
func TestTheFunctionIsNeverFrozenInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.deploy(2, 1)
	w.plan("delay 20s\nkinesis.PutRecords timeout-before=1")
	for n := 1; n <= 3; n++ {
		w.write("k", n)
	}
	for deadline := time.Now().Add(time.Minute); !strings.Contains(w.log.String(), "ending the process"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the process did not end; it says:\n%s", w.log.tail())
		}
	}
	w.plan("")
	w.empty()
	if err := publisherstest.CheckOrder("k", w.published()["k"], 3); err != nil {
		t.Error(err)
	}
}

// TestDeadLettersAndFigures: what can never be published is where the consumers
// keep such events, and can be redriven; the figures are the consumers', too.
func TestDeadLettersAndFigures(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.write("k", 1)
	if _, err := w.dynamo.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(table), Item: map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: "k"}, "sk": &types.AttributeValueMemberS{Value: "00000000000000000002.bad"},
		"events": &types.AttributeValueMemberL{Value: []types.AttributeValue{&types.AttributeValueMemberB{Value: []byte("what?")}}},
	}}); err != nil {
		t.Fatal(err)
	}
	w.write("k", 3)
	w.deploy(10, 1)
	w.empty()
	if got := fmt.Sprint(w.published()["k"]); got != "[0 2]" {
		t.Errorf("on the stream: %s, want 0 and 2", got)
	}
	store := deadletter.New(w.dynamo, letterTable)
	page, err := store.List(t.Context(), name, deadletter.ListOptions{})
	if err != nil || len(page.Letters) != 1 || page.Letters[0].PartitionKey != "k" || page.Letters[0].Reason == "" {
		t.Fatalf("dead letters: %+v, %v", page, err)
	}
	whole, err := store.Get(t.Context(), page.Letters[0].ID())
	if err != nil || string(whole.Raw) != "what?" {
		t.Errorf("the dead letter is %q, %v", whole.Raw, err)
	}
	if answer := w.invoke(`{"redrive": {}}`); !strings.HasPrefix(answer, `{"redriven":0,"failed":1,"errors":["`) {
		t.Errorf("bytes that are no event were redriven: %s", answer)
	}
	for _, payload := range []string{`{}`, `[]`, `{"redrive": {}, "Records": []}`, `{"redrive": {"positon": "1"}}`} {
		if answer := w.invoke(payload); !strings.Contains(answer, "errorMessage") {
			t.Errorf("invoked with %s: %s", payload, answer)
		}
	}
	var log string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if log = w.log.String(); strings.Contains(log, `"DeadLetters":1`) {
			break
		}
	}
	for _, part := range []string{`"Consumer":"outbox-relay"`, `"Applied":2`, `"DeadLetters":1`, `"Namespace":"Banyan/Consumers"`, "is a dead letter now"} {
		if !strings.Contains(log, part) {
			t.Errorf("the function's output lacks %s:\n%s", part, log)
		}
	}
}

// TestSchemas: what does not fit its type's schema becomes a dead letter, and nothing
// behind it waits.
func TestSchemas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.schemas = filepath.Join(t.TempDir(), "asyncapi.json")
	const document = `{"components":{"messages":{"happened":{"payload":{"schema":{"properties":{
		"type":{"const":"test.happened"},"dataversion":{"const":1},"data":{"type":"integer","not":{"const":2}}}}}}}}}`
	if err := os.WriteFile(w.schemas, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 3; n++ {
		w.write("k", n)
	}
	w.deploy(10, 1)
	w.empty()
	if got := fmt.Sprint(w.published()["k"]); got != "[0 2]" {
		t.Errorf("on the stream: %s, want 0 and 2", got)
	}
	store := deadletter.New(w.dynamo, letterTable)
	page, err := store.List(t.Context(), name, deadletter.ListOptions{})
	if err != nil || len(page.Letters) != 1 || page.Letters[0].EventID != "k-2" || !strings.Contains(page.Letters[0].Reason, "does not fit") {
		t.Fatalf("dead letters: %+v, %v", page, err)
	}
	w.schemas = "" // the mistake was in the document
	if _, err := w.lambda.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{
		FunctionName: aws.String(name), Environment: w.environment(),
	}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second does nothing
		if answer := w.invoke(`{"redrive": {"position": "` + page.Letters[0].Position.String() + `"}}`); answer != `{"redriven":1,"failed":0,"errors":[],"more":false}` {
			t.Error(answer)
		}
	}
	if got := fmt.Sprint(w.published()["k"]); got != "[0 2 1]" {
		t.Errorf("on the stream: %s, want 0, 2 and what was redriven", got)
	}
}
