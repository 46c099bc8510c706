package entity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/shadow"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/publishers/direct"
	"github.com/banyan-fig/banyan/services/keyedlock"
)

// Member admits each operation to the database that owns the entity. *ownership.Member is one.
type Member interface {
	Read(ctx context.Context, fn func(context.Context, ownership.Grant) error) error
	Write(ctx context.Context, fn func(context.Context, ownership.Grant) error) error
	Record() ownership.Record
}

// Outbox publishes what a write has left. *direct.Outbox is one.
type Outbox interface {
	Publish(ctx context.Context, w direct.Write) (events.Position, error)
}

// Publisher publishes an event and returns its position, once it is kept.
type Publisher interface {
	Publish(ctx context.Context, e events.Event) (events.Position, error)
}

// Config configures New. Plan, Member, MongoDB and DynamoDB are required.
type Config struct {
	// Plan is the entity's. It must name a versionField.
	Plan   *plan.Plan
	Member Member
	// MongoDB and DynamoDB are the backends.
	MongoDB, DynamoDB Backend
	// Outbox publishes the events of writes. Without one, writes with events are refused.
	Outbox Outbox
	// Publisher publishes again the events of a write whose effect was there before, and whose
	// events another process has published: nobody knows their position. Without one such a write has
	// no position.
	Publisher Publisher
	// Shadow is the share of reads by id that are compared with the other database, while
	// changes are carried to it: 0 for none, up to 1. It needs an *ownership.Member.
	Shadow float64
	Log    *slog.Logger // default: discards
}

// Store is an entity's documents. It is safe for concurrent use. Close it.
type Store struct {
	cfg    Config
	codec  *codec.Codec
	locks  *keyedlock.Lock
	shadow *shadow.Reads[bson.Raw] // nil where nothing is compared
}

// New makes a store. It sends nothing.
func New(cfg Config) (*Store, error) {
	switch {
	case cfg.Plan == nil || cfg.Member == nil || cfg.MongoDB == nil || cfg.DynamoDB == nil:
		return nil, errors.New("entity store: Plan, Member, MongoDB and DynamoDB are required")
	case cfg.Plan.VersionField == "":
		return nil, fmt.Errorf("%w: %s has no versionField, which each write raises: add one, such as versionField: version; "+
			"documents that do not have it yet have the version 0", plan.ErrInvalid, cfg.Plan.Entity)
	}
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	s := &Store{cfg: cfg, codec: cfg.Plan.Codec(), locks: keyedlock.New()}
	if cfg.Shadow == 0 {
		return s, nil
	}
	member, ok := cfg.Member.(*ownership.Member)
	if !ok {
		return nil, errors.New("entity store: Shadow needs an *ownership.Member")
	}
	var err error
	s.shadow, err = shadow.New(shadow.Config[bson.Raw]{Member: member, Sample: cfg.Shadow, Log: cfg.Log, Differ: s.differ,
		MongoDB: s.shadowRead(cfg.MongoDB), DynamoDB: s.shadowRead(cfg.DynamoDB)})
	return s, err
}

// Plan is the entity's.
func (s *Store) Plan() *plan.Plan { return s.cfg.Plan }

// Close ends what runs behind the store's callers. The member and the outbox are theirs who made them.
func (s *Store) Close() {
	if s.shadow != nil {
		s.shadow.Close()
	}
}

// backend is the one that a grant names.
func (s *Store) backend(g ownership.Grant) (Backend, error) {
	switch g.Owner {
	case ownership.MongoDB:
		return s.cfg.MongoDB, nil
	case ownership.DynamoDB:
		return s.cfg.DynamoDB, nil
	}
	return nil, fmt.Errorf("%s is owned by %q since epoch %d, for which there is no store", s.cfg.Plan.Entity, g.Owner, g.Epoch)
}

func (s *Store) read(ctx context.Context, fn func(context.Context, Backend, ownership.Grant) error) error {
	return s.cfg.Member.Read(ctx, func(ctx context.Context, g ownership.Grant) error {
		b, err := s.backend(g)
		if err != nil {
			return err
		}
		return fn(ctx, b, g)
	})
}

func (s *Store) write(ctx context.Context, fn func(context.Context, Backend, ownership.Grant) error) error {
	return s.cfg.Member.Write(ctx, func(ctx context.Context, g ownership.Grant) error {
		b, err := s.backend(g)
		if err != nil {
			return err
		}
		return fn(ctx, b, g)
	})
}

// Version is that of a document, 0 where it has none.
func (s *Store) Version(doc bson.Raw) int64 {
	v, _ := doc.Lookup(s.cfg.Plan.VersionField).AsInt64OK()
	return v
}

// idOf checks an identifier: it must have a key.
func (s *Store) idOf(id any) (bson.RawValue, error) {
	v, ok := id.(bson.RawValue)
	if !ok {
		kind, value, err := bson.MarshalValue(id)
		if err != nil {
			return v, fmt.Errorf("%w: id %.100v: %w", ErrInvalid, id, err)
		}
		v = bson.RawValue{Type: kind, Value: value}
	}
	if _, err := s.codec.Key(v); err != nil {
		return v, fmt.Errorf("%w: id of %s: %w", ErrInvalid, s.cfg.Plan.Entity, err)
	}
	return v, nil
}

// lockKey serializes the writes of one document, and so the publishing of their events.
func (s *Store) lock(ctx context.Context, id bson.RawValue) (release func(), err error) {
	return s.locks.Acquire(ctx, codec.Identity(id))
}
