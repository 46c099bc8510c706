package outboxtable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers"
)

// API is what a [Relay] needs of *dynamodb.Client.
type API interface {
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

// Defaults of [Config].
const (
	DefaultClaim       = 15 * time.Second
	DefaultConcurrency = 16
	DefaultMargin      = 2 * time.Second
)

// Config says how a relay works. Client, Table, Publisher and DeadLetters are
// needed.
type Config struct {
	Client API
	Table  string
	// Publisher gets the events. Its receipts must mean that the event is kept.
	Publisher publishers.Publisher
	// Check reports whether an event keeps the promise of its type, such as
	// [events.Registry.Check]; one that does not becomes a dead letter. nil: only envelopes are checked.
	Check func(events.Event) error
	// DeadLetters keeps what can never be published.
	DeadLetters DeadLetters
	// Permanent reports errors of the publisher that no retry will change. nil:
	// those that are events.ErrMalformed.
	Permanent func(error) bool
	// Claim is how long a key is kept from other relays, from the last renewal
	// on. 0: 15 s. The keys of a relay that died are blocked for so long.
	Claim time.Duration
	// Concurrency is how many keys are relayed at the same time. 0: 16.
	Concurrency int
	// Margin is the part of Handle's time that is kept for deleting what was
	// published: nothing is published in it. 0: 2 s, but never more than a fifth
	// of the time that the batch had when it began.
	Margin time.Duration
	// Observe, optional, is called with the figures of each batch of Handle and each
	// Sweep.
	Observe func(context.Context, Report)
	// Now is the clock by which claims run out. nil: time.Now.
	Now func() time.Time
	// ID marks the claims of this relay; it must be its alone. "": a random one.
	ID string
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	wrong := func(text string) { errs = append(errs, errors.New(text)) }
	if c.Client == nil {
		wrong("Client is nil: give dynamodb.NewFromConfig of the SDK")
	}
	if c.Table == "" {
		wrong("Table is empty: give the name of a table as TableInput defines it")
	}
	if c.Publisher == nil {
		wrong("Publisher is nil")
	}
	if c.DeadLetters == nil {
		wrong("DeadLetters is nil: an event that can never be published would block its key for ever")
	}
	if c.Claim < 0 || c.Concurrency < 0 || c.Margin < 0 {
		wrong("Claim, Concurrency and Margin cannot be negative")
	}
	if len(c.ID) > maxID {
		wrong(fmt.Sprintf("ID has %d bytes, more than %d", len(c.ID), maxID))
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("outboxtable: config of the relay: %w", errors.Join(errs...))
}

// maxID leaves room on an item, see claimBytes.
const maxID = 128

func (c Config) withDefaults() Config {
	if c.Permanent == nil {
		c.Permanent = func(err error) bool { return errors.Is(err, events.ErrMalformed) }
	}
	c.Claim = cmp.Or(c.Claim, DefaultClaim)
	c.Concurrency = cmp.Or(c.Concurrency, DefaultConcurrency)
	c.Margin = cmp.Or(c.Margin, DefaultMargin)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.ID == "" {
		c.ID = uuid.NewString()
	}
	return c
}
