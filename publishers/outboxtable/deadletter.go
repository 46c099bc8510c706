package outboxtable

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/big"
	"time"

	"github.com/banyan-fig/banyan/events"
)

// DeadLetter is an event of the outbox that can never be published, whole, with
// the reason.
type DeadLetter struct {
	// Table, PartitionKey and SortKey say which item it was in.
	Table, PartitionKey, SortKey string
	// Event is the zero value where Raw cannot be decoded.
	Event events.Event
	// Raw is the event as it was in the item; empty where the item had none.
	Raw []byte
	// Reason says why, for people.
	Reason string
	// Made is when the events were made, zero if the item has no time; At when
	// the relay gave up.
	Made, At time.Time
}

// Position identifies the dead letter where positions do: the first 20 digits
// are of the sort key, so that they sort by it, the others of a hash of all that
// identifies it. It is not a position on a stream.
func (d DeadLetter) Position() events.Position {
	h := sha256.New()
	for _, part := range [][]byte{[]byte(d.Table), []byte(d.PartitionKey), []byte(d.SortKey), d.Raw} {
		fmt.Fprintf(h, "%d:", len(part))
		h.Write(part)
	}
	order := "00000000000000000000"
	if len(d.SortKey) >= orderDigits && isNumber(d.SortKey[:orderDigits]) {
		order = d.SortKey[:orderDigits]
	}
	// 15 bytes have 37 digits at most; the leading 1 keeps zeros where they are.
	return events.Position{Sequence: fmt.Sprintf("1%s%037s", order, new(big.Int).SetBytes(h.Sum(nil)[:15]))}
}

func isNumber(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// DeadLetters stores dead letters. Put returns when d is stored durably; putting
// one again changes nothing. It is called concurrently.
type DeadLetters interface {
	Put(ctx context.Context, d DeadLetter) error
}

// Redrive publishes a dead letter after its cause was removed, and returns when it is
// kept. It comes behind everything that was published for its key since.
func (r *Relay) Redrive(ctx context.Context, raw []byte) error {
	e, err := events.Decode(raw)
	if err == nil {
		err = r.check(e)
	}
	if err != nil {
		return fmt.Errorf("outboxtable: redrive: %w", err)
	}
	receipt, err := r.cfg.Publisher.EnqueueEncoded(ctx, e.PartitionKey, raw)
	if err == nil {
		_, err = receipt.Wait(ctx)
	}
	if err != nil {
		return fmt.Errorf("outboxtable: redrive event %s: %w", e.ID, err)
	}
	return nil
}
