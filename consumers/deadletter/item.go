package deadletter

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/events"
)

type item = map[string]types.AttributeValue

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

func headKey(consumer string, p events.Position) item {
	return item{"pk": text(prefixConsumer + consumer), "sk": text(p.String())}
}

func chunkPartition(consumer string, p events.Position) string {
	return prefixBytes + consumer + "#" + p.String()
}

// encode leaves out what is empty: servers before 2020 refuse empty values.
func encode(d consumers.DeadLetter, inline bool) item {
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
			i[name] = text(value)
		}
	}
	i[attrSize] = &types.AttributeValueMemberN{Value: strconv.Itoa(len(d.Raw))}
	if inline && len(d.Raw) > 0 {
		i[attrRaw] = &types.AttributeValueMemberB{Value: d.Raw}
	}
	return i
}

func decode(i item) (Letter, error) {
	var l Letter
	l.Consumer = strings.TrimPrefix(textOf(i, "pk"), prefixConsumer)
	l.Shard, l.PartitionKey = textOf(i, attrShard), textOf(i, attrKey)
	l.EventID, l.EventType = textOf(i, attrEventID), textOf(i, attrType)
	l.Reason, l.Raw = textOf(i, attrReason), bytesOf(i)
	var err error
	if l.Position, err = events.ParsePosition(textOf(i, "sk")); err != nil {
		return l, err
	}
	if n, ok := i[attrSize].(*types.AttributeValueMemberN); ok {
		l.Size, err = strconv.Atoi(n.Value)
	}
	if err != nil {
		return l, fmt.Errorf("attribute %s: %w", attrSize, err)
	}
	for name, into := range map[string]*time.Time{attrArrived: &l.Arrived, attrAt: &l.At, attrRedriven: &l.RedrivenAt} {
		if *into, err = parseTime(textOf(i, name)); err != nil {
			return l, fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	return l, nil
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func textOf(i item, name string) string {
	if v, ok := i[name].(*types.AttributeValueMemberS); ok {
		return v.Value
	}
	return ""
}

func bytesOf(i item) []byte {
	if v, ok := i[attrRaw].(*types.AttributeValueMemberB); ok {
		return v.Value
	}
	return nil
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
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxReason {
		return s
	}
	cut := maxReason
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
