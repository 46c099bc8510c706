package direct

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/publishers"
)

// Publisher gets the events. Its receipts must mean that the event is kept.
// *kinesis.Publisher is one.
type Publisher interface {
	EnqueueEncoded(ctx context.Context, partitionKey string, data []byte) (publishers.Receipt, error)
}

// Config configures New. Publisher is required.
type Config struct {
	Publisher Publisher
	// Boxes are swept for what was not published. None: nothing is swept.
	Boxes []Box
	// Patience is how long an entry of another process may wait before that counts as
	// dead. It should exceed what publishing takes. Default 2 s.
	Patience time.Duration
	// SweepEvery is the time between two sweeps. Default 1 s.
	SweepEvery time.Duration
	// Claim is how long a place is reserved at a time, and stays so when the process that has
	// reserved it dies. Default three times Patience.
	Claim time.Duration
	// Linger is how long a published entry may wait for others that are removed with it.
	// Default 5 ms.
	Linger time.Duration
	// Log gets what fails behind the callers. Default: nothing is logged.
	Log *slog.Logger
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	if c.Publisher == nil {
		errs = append(errs, errors.New("Publisher is missing"))
	}
	if c.Patience < 0 || c.SweepEvery < 0 || c.Claim < 0 || c.Linger < 0 {
		errs = append(errs, errors.New("Patience, SweepEvery, Claim and Linger cannot be negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("publishers/direct: config: %w", err)
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.Patience = cmp.Or(c.Patience, 2*time.Second)
	c.SweepEvery = cmp.Or(c.SweepEvery, time.Second)
	c.Claim = cmp.Or(c.Claim, 3*c.Patience)
	c.Linger = cmp.Or(c.Linger, 5*time.Millisecond)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	return c
}

// newProcess names the claims of this process.
func newProcess() string { return uuid.NewString() }
