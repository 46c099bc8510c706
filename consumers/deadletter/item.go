package deadletter

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

const (
	prefixConsumer = "consumer#"
	prefixBytes    = "bytes#"
	atStream       = "@"

	attrShard    = "shard"
	attrKey      = "key"
	attrEventID  = "eventId"
	attrType     = "eventType"
	attrReason   = "reason"
	attrArrived  = "arrived"
	attrAt       = "at"
	attrSize     = "size"
	attrRaw      = "raw"
	attrRedriven = "redriven"
)

// listed is everything but the bytes.
const listed = "#pk, #sk, #shard, #key, #eventId, #eventType, #reason, #arrived, #at, #size, #redriven"

// namesIn returns what the references in a list of attributes, #name, stand for.
func namesIn(attributes string) map[string]string {
	names := map[string]string{}
	for ref := range strings.SplitSeq(attributes, ", ") {
		names[ref] = ref[1:]
	}
	return names
}

// maxReason bounds what a person will read anyway.
const maxReason = 4 << 10

// ID identifies a dead letter.
type ID struct {
	Consumer string
	Position events.Position
	// Stream is the ARN of the stream that has the position, as in consumers.DeadLetter.
	Stream string
}

// IDOf returns the id of a dead letter.
func IDOf(d consumers.DeadLetter) ID { return ID{d.Consumer, d.Position, d.Stream} }

// String names it for people.
func (id ID) String() string { return fmt.Sprintf("%s of %s", id.sortKey(), id.Consumer) }

// sortKey has the position first, so that the order of keys is that of positions.
func (id ID) sortKey() string {
	if id.Stream == "" {
		return id.Position.String()
	}
	return id.Position.String() + atStream + id.Stream
}

func (id ID) parseSortKey(text string) (ID, error) {
	position, stream, _ := strings.Cut(text, atStream)
	p, err := events.ParsePosition(position)
	return ID{id.Consumer, p, stream}, err
}

func (id ID) headKey() dynamo.Item { return dynamo.Key(prefixConsumer+id.Consumer, id.sortKey()) }

func (id ID) chunkPartition() string { return prefixBytes + id.Consumer + "#" + id.sortKey() }

// encode leaves out what is empty: servers before 2020 refuse empty values.
func encode(d consumers.DeadLetter, inline bool) dynamo.Item {
	i := IDOf(d).headKey()
	for name, value := range map[string]string{
		attrShard:   d.Shard,
		attrKey:     strings.ToValidUTF8(d.PartitionKey, "\uFFFD"),
		attrEventID: d.EventID,
		attrType:    d.EventType,
		attrReason:  shorten(d.Reason),
		attrArrived: formatTime(d.Arrived),
		attrAt:      formatTime(d.At),
	} {
		if value != "" {
			i[name] = dynamo.String(value)
		}
	}
	i[attrSize] = dynamo.Int(int64(len(d.Raw)))
	if inline && len(d.Raw) > 0 {
		i[attrRaw] = dynamo.Bytes(d.Raw)
	}
	return i
}

func decode(i dynamo.Item) (Letter, error) {
	var l Letter
	l.Consumer = strings.TrimPrefix(dynamo.StringOf(i, "pk"), prefixConsumer)
	l.Shard, l.PartitionKey = dynamo.StringOf(i, attrShard), dynamo.StringOf(i, attrKey)
	l.EventID, l.EventType = dynamo.StringOf(i, attrEventID), dynamo.StringOf(i, attrType)
	l.Reason, l.Raw = dynamo.StringOf(i, attrReason), dynamo.BytesOf(i, attrRaw)
	id, err := ID{}.parseSortKey(dynamo.StringOf(i, dynamo.AttrSK))
	if err != nil {
		return l, err
	}
	l.Position, l.Stream = id.Position, id.Stream
	size, err := dynamo.IntOf(i, attrSize)
	if err != nil {
		return l, err
	}
	l.Size = int(size)
	for name, into := range map[string]*time.Time{attrArrived: &l.Arrived, attrAt: &l.At, attrRedriven: &l.RedrivenAt} {
		if *into, err = parseTime(dynamo.StringOf(i, name)); err != nil {
			return l, fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	return l, nil
}

// formatTime leaves the zero time empty.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339Nano, s)
}

// shorten makes valid UTF-8 of a reason and cuts it between characters.
func shorten(s string) string { return shortenTo(s, maxReason) }

func shortenTo(s string, most int) string {
	if len(s) <= most {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.ToValidUTF8(s[:cut], "\uFFFD") + "…"
}
