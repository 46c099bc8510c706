package once

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"reflect"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// ModelClient is the part of the DynamoDB client that a Model uses.
type ModelClient interface {
	Client
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
}

// Guard says how a [Model] recognizes an event that had its effect.
type Guard int

const (
	// ByEvent writes a marker item for each event, in the same transaction. An event
	// has its effect once, whether it is delivered or was published several times, in
	// whatever order, and also when a dead letter is redriven after later events.
	ByEvent Guard = iota
	// ByPosition compares the event's position with that of the last event of the item:
	// half of the writes and no markers. All events of an item must have the same
	// partition key, others are refused. An event that comes after a later one (a
	// redriven dead letter) is stale and never has its effect, and one that was
	// published twice has it twice. So it is for a fold whose state the last event
	// decides, or for consumers that halt and publishers that never repeat.
	ByPosition
)

// ModelConfig configures a Model. Name, Client, Table, Key and Fold are required.
type ModelConfig[T any] struct {
	// Name is the sort key of the model's items, without "#". Models that share a table
	// have different names: each has items and markers of its own.
	Name   string
	Client ModelClient
	Table  string // with the keys pk and sk, both texts
	// Key names the item that an event changes; "" if it changes none.
	Key func(consumers.Message) string
	// Fold changes the state, which starts as the zero value of T, by one event. It may
	// be called several times for one event and must do nothing else. Its errors are
	// permanent: the same state and event would fail again.
	Fold func(state *T, m consumers.Message) error
	// Guard is ByEvent by default.
	Guard Guard
	// Remember deletes the markers of ByEvent after this time, by the attribute
	// "expires", if the table's TTL is on that. It must be longer than the time in
	// which events may be delivered or redriven again. 0: never.
	Remember time.Duration
}

// Model is a read model of one item a key, which is a fold of events. [Model.Handle] is
// its handler. Safe for concurrent use.
//
// An item has the attributes of T as package attributevalue writes them, pk (the key),
// sk (the model's name), pos (the highest position of its events), rev (how many events
// it is of) and, with ByPosition, partition. T must not have these, nor expires where
// Remember is set.
type Model[T any] struct {
	cfg    ModelConfig[T]
	writer *Writer
	seed   maphash.Seed
	slots  [64]chan struct{} // keyed locks, by the hash of the key
}

// Names in the table of a Model.
const (
	attrRevision  = "rev"
	attrPartition = "partition"
	attrExpires   = "expires"
)

// ErrNotFound is returned for a key without events.
var ErrNotFound = errors.New("no such item in the read model")

// NewModel makes a model on a table that exists.
func NewModel[T any](cfg ModelConfig[T]) (*Model[T], error) {
	switch {
	case cfg.Client == nil || cfg.Table == "" || cfg.Key == nil || cfg.Fold == nil:
		return nil, errors.New("once: model: Client, Table, Key and Fold are required")
	case cfg.Name == "" || strings.Contains(cfg.Name, "#"):
		return nil, fmt.Errorf("once: model: invalid Name %q: must be a text without # that no other model of the table has", cfg.Name)
	case cfg.Guard != ByEvent && cfg.Guard != ByPosition:
		return nil, fmt.Errorf("once: model: Guard %d must be ByEvent or ByPosition", cfg.Guard)
	case reflect.TypeFor[T]().Kind() != reflect.Struct:
		return nil, fmt.Errorf("once: model: the state %v must be a struct", reflect.TypeFor[T]())
	case cfg.Remember < 0:
		return nil, errors.New("once: model: Remember must not be negative")
	}
	m := &Model[T]{cfg: cfg, writer: NewWriter(Config{Client: cfg.Client, Table: cfg.Table}), seed: maphash.MakeSeed()}
	if err := m.checkState(*new(T)); err != nil {
		return nil, fmt.Errorf("once: model: %w", err)
	}
	for i := range m.slots {
		m.slots[i] = make(chan struct{}, 1)
	}
	return m, nil
}

// stored is an item of the table. The zero value is one that does not exist.
type stored[T any] struct {
	state     T
	position  events.Position
	revision  int64
	partition string
}

// Get reads the state of a key, strongly consistent, with the highest position of the
// events in it; [ErrNotFound] where there is none.
func (m *Model[T]) Get(ctx context.Context, key string) (T, events.Position, error) {
	s, err := m.readStored(ctx, key)
	if err == nil && s.revision == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return s.state, events.Position{}, fmt.Errorf("once: read %q from %s: %w", key, m.cfg.Table, err)
	}
	return s.state, s.position, nil
}

// maxConflicts bounds how often another writer may change the same item first.
const maxConflicts = 20

// Handle folds one event into its item; it is a [consumers.Handler].
func (m *Model[T]) Handle(ctx context.Context, msg consumers.Message) error {
	key := m.cfg.Key(msg)
	if key == "" {
		return nil
	}
	slot := m.slots[maphash.String(m.seed, key)%uint64(len(m.slots))]
	select { // others of this process would only run into maxConflicts
	case slot <- struct{}{}:
		defer func() { <-slot }()
	case <-ctx.Done():
		return consumers.Unavailable(ctx.Err())
	}
	delays := backoff.Backoff{Min: 5 * time.Millisecond, Max: 200 * time.Millisecond}
	for attempt := range maxConflicts {
		done, err := m.fold(ctx, key, msg)
		if done || err != nil {
			return Classify(err)
		}
		if err := delays.Wait(ctx, attempt); err != nil {
			return consumers.Unavailable(err)
		}
	}
	return consumers.Unavailable(fmt.Errorf("once: item %q of %s changed during each of %d attempts", key, m.cfg.Table, maxConflicts))
}

// fold reads the item and writes it with the event, unless the event had its effect.
// It is not done when another writer changed the item meanwhile.
func (m *Model[T]) fold(ctx context.Context, key string, msg consumers.Message) (done bool, err error) {
	s, err := m.readStored(ctx, key)
	if err != nil {
		return false, fmt.Errorf("once: read %q from %s: %w", key, m.cfg.Table, err)
	}
	if m.cfg.Guard == ByPosition && s.revision > 0 {
		if s.partition == "" {
			return false, consumers.Unavailable(fmt.Errorf(
				"once: item %q of %s was written with the Guard ByEvent: keep that, or rebuild the model", key, m.cfg.Table))
		}
		if s.partition != msg.Event.PartitionKey {
			return false, consumers.Permanent(fmt.Errorf(
				"once: item %q of %s has events of partition key %q: position of an event of %q cannot be compared, use ByEvent",
				key, m.cfg.Table, s.partition, msg.Event.PartitionKey))
		}
		if !s.position.Before(msg.Position) {
			return true, consumers.ErrStale
		}
	}
	if err := m.cfg.Fold(&s.state, msg); err != nil {
		// The state may refuse the event because it has it already.
		if had, readErr := m.hasEvent(ctx, key, msg); had || readErr != nil {
			return had, cmp.Or(readErr, consumers.ErrStale)
		}
		return false, consumers.Permanent(err)
	}
	change, err := m.changeOf(key, s, msg)
	if err != nil {
		return false, consumers.Permanent(err)
	}
	applied, err := m.writer.Write(ctx, change)
	if err != nil || applied[0] {
		return err == nil, err
	}
	if had, err := m.hasEvent(ctx, key, msg); had || err != nil {
		return had, cmp.Or(err, consumers.ErrStale)
	}
	return false, nil
}

// hasEvent reports whether the event has its marker.
func (m *Model[T]) hasEvent(ctx context.Context, key string, msg consumers.Message) (bool, error) {
	if m.cfg.Guard != ByEvent {
		return false, nil
	}
	marker, err := m.getItem(ctx, m.markerKey(key, msg.Event))
	return len(marker) > 0, err
}

// changeOf writes the folded state, on condition that the item has not changed since it was read.
func (m *Model[T]) changeOf(key string, s stored[T], msg consumers.Message) (Change, error) {
	item, err := m.encodeState(s.state)
	if err != nil {
		return Change{}, err
	}
	position := s.position
	if position.Before(msg.Position) {
		position = msg.Position
	}
	item = At(position, item)
	item[attrRevision] = dynamo.Int(s.revision + 1)
	unchanged := Absent()
	if s.revision > 0 {
		unchanged = Condition{
			Text:   "#rev = :rev",
			Names:  map[string]string{"#rev": attrRevision},
			Values: dynamo.Item{":rev": dynamo.Int(s.revision)},
		}
	}
	var change Change
	if m.cfg.Guard == ByPosition {
		item[attrPartition] = dynamo.String(msg.Event.PartitionKey)
	} else {
		marker := Put(m.markerKey(key, msg.Event), At(msg.Position, nil), Absent())
		if m.cfg.Remember > 0 {
			marker.item[attrExpires] = dynamo.Int(time.Now().Add(m.cfg.Remember).Unix())
		}
		change.Ops = append(change.Ops, marker)
	}
	change.Ops = append(change.Ops, Put(KeyOf(key, m.cfg.Name), item, unchanged))
	return change, nil
}

func (m *Model[T]) markerKey(key string, e events.Event) Key {
	marker := markerKey(key, e)
	marker.SK = m.cfg.Name + "#" + marker.SK
	return marker
}

func (m *Model[T]) getItem(ctx context.Context, k Key) (dynamo.Item, error) {
	out, err := m.cfg.Client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &m.cfg.Table, Key: k.Item(), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}

func (m *Model[T]) readStored(ctx context.Context, key string) (s stored[T], err error) {
	item, err := m.getItem(ctx, KeyOf(key, m.cfg.Name))
	if err != nil || len(item) == 0 {
		return s, err
	}
	if s.revision, err = dynamo.IntOf(item, attrRevision); err != nil {
		return s, err
	}
	if s.position, err = PositionOf(item); err != nil {
		return s, err
	}
	s.partition = dynamo.StringOf(item, attrPartition)
	for _, name := range ownAttributes { // a field Rev would be given rev: case does not count
		delete(item, name)
	}
	if err := attributevalue.UnmarshalMap(item, &s.state); err != nil {
		return s, fmt.Errorf("decode the state: %w", err)
	}
	return s, nil
}
