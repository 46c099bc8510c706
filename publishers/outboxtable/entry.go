package outboxtable

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/publishers/direct"
)

// MaxItemBytes is DynamoDB's limit for an item,
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html.
const MaxItemBytes = 400 << 10

// Keep is how long an item stays in a table with [TimeToLive].
const Keep = 30 * 24 * time.Hour

const (
	maxSortKey  = 1024
	orderDigits = 20
	// claimBytes is left free for what a relay writes on the item.
	claimBytes = 512
)

var (
	// ErrTooLarge is returned for events that do not fit into one item. Nothing
	// was written: refuse the write, or make the event smaller.
	ErrTooLarge = errors.New("the events do not fit into an item of 400 KB")
	// ErrKeys is returned for events of different partition keys. Make an entry
	// for each key; a transaction can hold several.
	ErrKeys = errors.New("the events have different partition keys")
)

// Entry is the events that one write makes for one partition key: one item of
// the table.
type Entry struct {
	// PartitionKey and SortKey are the item's.
	PartitionKey, SortKey string

	at      time.Time
	encoded [][]byte
	size    int
}

// NewEntry makes an entry of events with one partition key, in their order.
// order places it among the entries of that key: the version of the
// entity, or whatever else grows with its writes. [ErrKeys], [ErrTooLarge],
// events.ErrMalformed.
func NewEntry(order uint64, es ...events.Event) (Entry, error) {
	if len(es) == 0 {
		return Entry{}, errors.New("outboxtable: an entry needs at least one event")
	}
	first := es[0]
	entry := Entry{PartitionKey: first.PartitionKey, SortKey: sortKey(order, first.ID), at: first.Time}
	for _, e := range es {
		if e.PartitionKey != first.PartitionKey {
			return Entry{}, fmt.Errorf("outboxtable: an entry with event %s of key %q and event %s of key %q: %w",
				first.ID, first.PartitionKey, e.ID, e.PartitionKey, ErrKeys)
		}
		data, err := events.Encode(e)
		if err != nil {
			return Entry{}, fmt.Errorf("outboxtable: %w", err)
		}
		entry.encoded = append(entry.encoded, data)
	}
	return entry, entry.checkSize()
}

// NewEntryByClock is NewEntry with the events' own Sequence for the order, which
// is right where one process at a time writes the entity.
func NewEntryByClock(es ...events.Event) (Entry, error) {
	if len(es) == 0 {
		return NewEntry(0)
	}
	order, err := strconv.ParseUint(es[0].Sequence, 10, 64)
	if err != nil {
		return Entry{}, fmt.Errorf("outboxtable: event %s: %w: sequence: %q is not a number", es[0].ID, events.ErrMalformed, es[0].Sequence)
	}
	return NewEntry(order, es...)
}

// Direct is the entry as package direct has it.
func (e Entry) Direct() direct.Entry {
	d := direct.Entry{Place: direct.Place(e.PartitionKey), ID: e.SortKey}
	for _, data := range e.encoded {
		d.Events = append(d.Events, direct.Event{Key: e.PartitionKey, Data: data})
	}
	return d
}

// Item is what an owner adds to the transaction of the entity's write: the put
// of an entry by [NewEntryByClock].
func Item(table string, es ...events.Event) (types.TransactWriteItem, error) {
	entry, err := NewEntryByClock(es...)
	if err != nil {
		return types.TransactWriteItem{}, err
	}
	return entry.Item(table), nil
}

// Item puts the entry into the table, on condition that it is not there: an
// entry that a relay has claimed must not be overwritten. A transaction that is
// cancelled by it was committed before, see [Repeated].
//
// A caller that sends one transaction again by itself, after a response was lost, must give
// both the same ClientRequestToken; the id of an event has the right length. The
// SDK does so for its own retries.
func (e Entry) Item(table string) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{
		TableName:                aws.String(table),
		Item:                     e.attributes(),
		ConditionExpression:      aws.String("attribute_not_exists(#pk)"),
		ExpressionAttributeNames: map[string]string{"#pk": dynamo.AttrPK},
	}}
}

// Repeated reports whether a transaction was cancelled because item i of it, an
// entry, is in the table already: this very write was committed before.
func Repeated(err error, i int) bool {
	reasons := dynamo.CancellationReasons(err)
	return i >= 0 && i < len(reasons) && aws.ToString(reasons[i].Code) == dynamo.CodeConditionFailed
}

// checkSize enforces the limits. It also sets the size.
func (e *Entry) checkSize() error {
	if n := len(e.SortKey); n > maxSortKey {
		return fmt.Errorf("outboxtable: entry %.60s…: the sort key has %d bytes, the limit of DynamoDB is %d; shorten the id: %w",
			e.SortKey, n, maxSortKey, ErrTooLarge)
	}
	e.size = e.countBytes()
	if most := MaxItemBytes - claimBytes; e.size > most {
		return fmt.Errorf("outboxtable: entry %s: %d bytes in %d events, an item has room for %d: %w",
			e.SortKey, e.size, len(e.encoded), most, ErrTooLarge)
	}
	return nil
}

// countBytes counts as DynamoDB does: names and values, 3 for a list and 1 for each
// of its members, 21 at most for a number.
func (e *Entry) countBytes() int {
	const number = 21
	n := len(dynamo.AttrPK) + len(e.PartitionKey) + len(dynamo.AttrSK) + len(e.SortKey) +
		len(attrAt) + number + len(attrExpires) + number + len(attrEvents) + 3
	for _, data := range e.encoded {
		n += 1 + len(data)
	}
	return n
}

func sortKey(order uint64, id string) string { return fmt.Sprintf("%0*d.%s", orderDigits, order, id) }
