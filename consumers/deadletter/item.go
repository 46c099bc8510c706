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

func listedNames() map[string]string {
	names := map[string]string{}
	for ref := range strings.SplitSeq(listed, ", ") {
		names[ref] = ref[1:]
	}
	return names
}

// maxReason bounds what a person will read anyway.
const maxReason = 4 << 10

func headKey(consumer string, p events.Position) dynamo.Item {
	return dynamo.Key(prefixConsumer+consumer, p.String())
}

func chunkPartition(consumer string, p events.Position) string {
	return prefixBytes + consumer + "#" + p.String()
}

// encode leaves out what is empty: servers before 2020 refuse empty values.
func encode(d consumers.DeadLetter, inline bool) dynamo.Item {
	i := headKey(d.Consumer, d.Position)
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
	var err error
	if l.Position, err = events.ParsePosition(dynamo.StringOf(i, "sk")); err != nil {
		return l, err
	}
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
func shorten(s string) string {
	if len(s) <= maxReason {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	cut := maxReason
	for cut > maxReason-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.ToValidUTF8(s[:cut], "\uFFFD") + "…"
}
