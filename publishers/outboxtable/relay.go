package outboxtable

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

var (
	// ErrClaimed is why a key was skipped: another relay works on it, and continues;
	// try again when the claim has run out.
	ErrClaimed = errors.New("another relay has claimed the key")
	// ErrInFlight is returned when the time ended while events were on their way
	// to the stream. They may arrive at any time. They are in the table still, and
	// are published again when the claim has run out; a process that is stopped
	// before that (Lambda freezes one after each response) and resumes after it
	// would repeat them behind their successors. End it, or close the publisher.
	ErrInFlight = errors.New("events are on their way to the stream")
)

// pageItems is the most items of a round: what a transaction can delete.
const pageItems = 100

// Relay publishes the events of one table to the stream. Safe for concurrent use.
type Relay struct{ cfg Config }

// New makes a relay, or returns everything that is wrong with cfg. It sends
// no request.
func New(cfg Config) (*Relay, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Relay{cfg.withDefaults()}, nil
}

// drain relays the items of a key, or as many as ctx has time for. What is
// committed meanwhile gets a record of its own, or is found by the next sweep:
// a key that is written all the time must not keep the others of a batch waiting.
func (r *Relay) drain(ctx context.Context, key string) (tally, error) {
	var t tally
	for {
		more, err := r.relayFront(ctx, key, &t)
		if err != nil {
			return t, fmt.Errorf("outboxtable: relay key %q of table %q: %w", key, r.cfg.Table, err)
		}
		if !more {
			return t, nil
		}
	}
}

// relayFront relays the first items of a key. more says that there may be others.
func (r *Relay) relayFront(ctx context.Context, key string, t *tally) (more bool, err error) {
	items, rest, err := r.readFront(ctx, key)
	if err != nil || len(items) == 0 {
		return false, err
	}
	if s := items[0]; s.relay != "" && s.relay != r.cfg.ID && s.until.After(r.cfg.Now()) {
		return false, fmt.Errorf("%w, until %s", ErrClaimed, s.until.UTC().Format(time.RFC3339))
	}
	switch err := r.claim(ctx, items[0]); {
	case errors.Is(err, errLost):
		return true, nil // another relay claimed it first: read the key again
	case err != nil:
		return false, err
	}
	done, err := r.publish(ctx, items, t)
	if errors.Is(err, ErrInFlight) {
		return false, err // the claim stays, and with it the item that carries it
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Margin)
	defer cancel()
	if done == 0 {
		return false, errors.Join(err, r.release(end, items[0]))
	}
	lost, removeErr := r.remove(end, items[:done])
	return rest || lost, errors.Join(err, removeErr)
}

// readFront reads the items at the front of a key; rest says that there are more.
func (r *Relay) readFront(ctx context.Context, key string) (items []stored, rest bool, err error) {
	out, err := r.cfg.Client.Query(ctx, &dynamodb.QueryInput{
		TableName:                 &r.cfg.Table,
		ConsistentRead:            aws.Bool(true),
		Limit:                     aws.Int32(pageItems),
		KeyConditionExpression:    aws.String("#pk = :pk"),
		ExpressionAttributeNames:  map[string]string{"#pk": dynamo.AttrPK},
		ExpressionAttributeValues: dynamo.Item{":pk": dynamo.String(key)},
	})
	if err != nil {
		return nil, false, fmt.Errorf("read its items: %w", err)
	}
	for _, a := range out.Items {
		items = append(items, storedOf(a))
	}
	return items, len(out.LastEvaluatedKey) > 0, nil
}
