package warm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/google/uuid"
)

// mark is the one member of a ping and of its answer.
const mark = "banyan-warm"

// MaxHold is the longest time for which a ping holds its environment.
const MaxHold = 2 * time.Second

// maxPing is longer than any ping.
const maxPing = 256

// ping is what is sent.
type ping struct {
	HoldMS int64 `json:"holdMs"`
}

// answer is what comes back.
type answer struct {
	Environment string `json:"environment"` // different in each
	Cold        bool   `json:"cold"`        // nothing was handled there before
}

// Handler is [Wrap] for whatever lambda.Start takes:
//
//	lambda.Start(warm.Handler(consumer.HandleKinesis))
func Handler(handler any) lambda.Handler { return Wrap(lambda.NewHandler(handler)) }

// Wrap answers pings in the place of a handler, and hands it everything else
// untouched. The result is safe for concurrent use if the handler is.
func Wrap(next lambda.Handler) lambda.Handler {
	return &wrapped{next: next, environment: uuid.NewString()}
}

type wrapped struct {
	next        lambda.Handler
	environment string
	used        atomic.Bool
}

// Invoke implements lambda.Handler.
func (w *wrapped) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	cold := !w.used.Swap(true)
	p, ok := recognise(payload)
	if !ok {
		return w.next.Invoke(ctx, payload)
	}
	hold(ctx, time.Duration(min(p.HoldMS, MaxHold.Milliseconds()))*time.Millisecond)
	return json.Marshal(map[string]answer{mark: {w.environment, cold}})
}

// recognise reads a ping, and nothing that is only like one.
func recognise(payload []byte) (ping, bool) {
	var p ping
	if len(payload) > maxPing || !bytes.Contains(payload, []byte(mark)) {
		return p, false
	}
	return p, only(payload, &p) == nil
}

// only reads the value of an object whose one member is the mark.
func only(text []byte, into any) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return err
	}
	value, ok := members[mark]
	if !ok || len(members) != 1 || !bytes.HasPrefix(bytes.TrimSpace(value), []byte("{")) {
		return fmt.Errorf("not an object with the one member %s", mark)
	}
	return json.Unmarshal(value, into)
}

// hold waits, as long as the invocation may.
func hold(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
