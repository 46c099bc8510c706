// Package shadow has an owning service read the other store too, for some of its reads, and
// compare: by the service's own eyes, and with its own idea of what is equal, before the
// owner changes. What is read is thrown away, nobody waits for it, and it is not admitted as
// an operation, so that no switch waits for it either.
//
// Call [Reads.Compare] behind a read. What differs is looked at again for half a minute,
// since changes are applied with a lag; what stays different is a difference, which is
// logged, counted in the member's row, and refuses the change of owner for as long as the
// plan wants quiet (budgets.outOfBandQuiet).
package shadow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// Read reads one entity from one store; found is false where there is none. It must use the
// grant's collection in MongoDB, and must end with ctx.
type Read[T any] func(ctx context.Context, g ownership.Grant, key string) (value T, found bool, err error)

// Config of [New]. All but AtOnce and Log are required.
type Config[T any] struct {
	Member   *ownership.Member
	MongoDB  Read[T]
	DynamoDB Read[T]
	// Differ says what differs, by names and types and without values, since it is logged and
	// shown; "" for nothing.
	Differ func(owner, other T) string
	// Sample is the share of calls of Compare that are compared, above 0 to 1.
	Sample float64
	// AtOnce bounds how many comparisons run; what comes beyond is not compared. Default 4.
	AtOnce int
	Log    *slog.Logger // default: discards
}

// looks are the times between two looks at what differs: together 31 s. Changes are carried
// with a lag, of up to 5 s by a plan's default before the owner may change, and of more where
// the worker was killed, or the machine is busy; that is no difference.
var looks = []time.Duration{0, 100 * time.Millisecond, 400 * time.Millisecond, 1500 * time.Millisecond, 4 * time.Second, 10 * time.Second, 15 * time.Second}

// lookTimeout bounds one look at both stores.
const lookTimeout = 5 * time.Second

// Reads compares. It is safe for concurrent use; Close it.
type Reads[T any] struct {
	cfg  Config[T]
	ctx  context.Context // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	running int
	epoch   int64 // that count is of
	count   ownership.ShadowReads
}

// New checks cfg. Nothing is read before Compare is called.
func New[T any](cfg Config[T]) (*Reads[T], error) {
	switch {
	case cfg.Member == nil || cfg.MongoDB == nil || cfg.DynamoDB == nil || cfg.Differ == nil:
		return nil, errors.New("shadow reads: Member, MongoDB, DynamoDB and Differ are required")
	case !(cfg.Sample > 0 && cfg.Sample <= 1):
		return nil, fmt.Errorf("shadow reads: the sample is %v, and must be above 0 and at most 1", cfg.Sample)
	case cfg.AtOnce < 0:
		return nil, fmt.Errorf("shadow reads: %d at once", cfg.AtOnce)
	}
	if cfg.AtOnce == 0 {
		cfg.AtOnce = 4
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Reads[T]{cfg: cfg}
	r.ctx, r.stop = context.WithCancel(context.Background())
	return r, nil
}

// Close ends what runs, and waits for it. Compare does nothing from then on.
func (r *Reads[T]) Close() {
	r.mu.Lock() // none begins any more
	r.stop()
	r.mu.Unlock()
	r.wg.Wait()
}

// Compare compares one entity in both stores, for a sample of the calls, while changes are
// carried from one to the other: in the phases shadowing and switched. It returns at once,
// and never fails. Call it behind reads; the key is the entity's.
func (r *Reads[T]) Compare(key string) {
	rec := r.cfg.Member.Record()
	if rec.Phase != ownership.Shadowing && rec.Phase != ownership.Switched || rand.Float64() >= r.cfg.Sample {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil || r.running == r.cfg.AtOnce {
		return
	}
	r.running++
	r.wg.Go(func() {
		defer r.end()
		defer func() {
			if p := recover(); p != nil {
				r.record(rec, key, "", fmt.Errorf("panic: %v", p))
			}
		}()
		difference, inFlight, err := r.compare(rec, key)
		if inFlight {
			difference = inFlightOnly
		}
		r.record(rec, key, difference, err)
	})
}

func (r *Reads[T]) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
}

// inFlightOnly stands for a difference that went away, or never stood still.
const inFlightOnly = "\x00"

// errOver: the owner or the collection's name changes, so that nothing can be said.
var errOver = errors.New("the record of ownership has changed")

// compare looks until both are equal, or the last look shows what the one before did.
func (r *Reads[T]) compare(rec ownership.Record, key string) (difference string, inFlight bool, err error) {
	var before *T
	moving := false
	for i, wait := range looks {
		if err := backoff.Sleep(r.ctx, wait); err != nil {
			return "", false, errOver
		}
		owner, found, difference, err := r.look(rec, key)
		if now := r.cfg.Member.Record(); now.Epoch != rec.Epoch || now.Phase != rec.Phase || now.Collection != rec.Collection {
			return "", false, errOver
		}
		if err != nil {
			return "", false, err
		}
		if difference == "" {
			return "", i > 0, nil
		}
		moving = (before != nil) != found && i > 0 || before != nil && found && r.cfg.Differ(*before, owner) != ""
		before = nil
		if found {
			before = &owner
		}
		if i == len(looks)-1 {
			return difference, moving, nil
		}
	}
	return "", false, nil
}

// look reads both stores once.
func (r *Reads[T]) look(rec ownership.Record, key string) (owner T, found bool, difference string, err error) {
	ctx, cancel := context.WithTimeout(r.ctx, lookTimeout)
	defer cancel()
	g := ownership.Grant{Owner: rec.Owner, Epoch: rec.Epoch, Collection: rec.Collection, CollectionUUID: rec.CollectionUUID}
	first, second := r.cfg.MongoDB, r.cfg.DynamoDB
	if rec.Owner == ownership.DynamoDB {
		first, second = second, first
	}
	owner, found, err = first(ctx, g, key)
	if err != nil {
		return owner, found, "", err
	}
	other, there, err := second(ctx, g, key)
	switch {
	case err != nil:
		return owner, found, "", err
	case found && !there:
		difference = "missing in the store that is not the owner"
	case !found && there:
		difference = "only in the store that is not the owner"
	case found:
		difference = r.cfg.Differ(owner, other)
	}
	return owner, found, difference, nil
}

// record counts one comparison, by the epoch that it is of.
func (r *Reads[T]) record(rec ownership.Record, key, difference string, err error) {
	if errors.Is(err, errOver) || errors.Is(err, ownership.ErrFenced) || r.ctx.Err() != nil {
		return
	}
	r.countOne(rec.Epoch, key, difference, err)
	switch {
	case err != nil:
		r.cfg.Log.Warn("shadow read: failed", "entity", rec.Entity, "key", key, "error", err)
	case difference != "" && difference != inFlightOnly:
		r.cfg.Log.Error("shadow read: the stores differ", "entity", rec.Entity, "key", key, "difference", difference, "owner", rec.Owner)
	}
}

func (r *Reads[T]) countOne(epoch int64, key, difference string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if epoch != r.epoch {
		r.epoch, r.count = epoch, ownership.ShadowReads{}
	}
	r.count.Compared++
	switch {
	case err != nil:
		r.count.Failed++
	case difference == inFlightOnly:
		r.count.InFlight++
	case difference != "":
		r.count.Different++
		r.count.Last, r.count.LastAt = key+": "+difference, time.Now().UTC()
	}
	r.cfg.Member.SetShadowReads(r.count)
}
