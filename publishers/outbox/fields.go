package outbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/correlation"
	"github.com/banyan-fig/banyan/publishers/internal/bsonjson"
)

// fromFields makes an event from an entry that has the attributes of a CloudEvent as
// fields. Missing ones are derived from the write that added the entry, so that the same
// entry gives the same event however often the stream shows it.
func (o *origin) fromFields(doc bson.Raw, id bson.RawValue) (events.Event, error) {
	var e events.Event
	var err error
	read := func(into *string, name string) {
		v := doc.Lookup(name)
		if name == "id" {
			v = id
		}
		if absent(v) || err != nil {
			return
		}
		s, ok := idString(v)
		if !ok {
			err = entryErrorf("%s is %s, which cannot be a text", name, v.Type)
		}
		*into = s
	}
	spec, contentType := "1.0", ""
	for name, into := range map[string]*string{
		"specversion": &spec, "datacontenttype": &contentType, "id": &e.ID, "source": &e.Source, "type": &e.Type,
		"subject": &e.Subject, "partitionkey": &e.PartitionKey, "sequence": &e.Sequence,
		"traceparent": &e.TraceParent, "correlationid": &e.CorrelationID, "causationid": &e.CausationID,
	} {
		read(into, name)
	}
	switch {
	case err != nil:
		return e, err
	case e.ID == "":
		return e, entryErrorf("it has no id, so a repeated one could not be recognized")
	case spec != "1.0":
		return e, entryErrorf("specversion %q is not 1.0", spec)
	case contentType != "" && !strings.Contains(strings.ToLower(contentType), "json"):
		return e, entryErrorf("datacontenttype %q is not JSON", contentType)
	case !absent(doc.Lookup("data_base64")):
		return e, entryErrorf("binary data is not allowed, only a value under data")
	}
	err = o.complete(&e, doc, id)
	return e, err
}

func absent(v bson.RawValue) bool {
	return v.IsZero() || v.Type == bson.TypeNull || v.Type == bson.TypeUndefined
}

// complete sets the attributes that the entry leaves out.
func (o *origin) complete(e *events.Event, doc bson.Raw, id bson.RawValue) (err error) {
	if e.Version, err = versionOf(doc.Lookup("dataversion")); err != nil {
		return err
	}
	if e.Time, err = o.timeOf(doc.Lookup("time"), id); err != nil {
		return err
	}
	if e.Sequence, err = o.sequenceOf(e.Sequence); err != nil {
		return err
	}
	if e.Data, err = dataOf(doc.Lookup("data")); err != nil {
		return err
	}
	if e.Source == "" {
		e.Source = o.source
	}
	if e.PartitionKey == "" && !o.outbox {
		if e.PartitionKey, err = keyOf(o.document.Lookup("_id")); err != nil {
			return err
		}
	}
	o.correlate(e)
	return nil
}

// keyOf is the partition key of a document's events: its _id as an id is in an event,
// and of other types, such as sub-documents, as data is.
func keyOf(id bson.RawValue) (string, error) {
	if s, ok := idString(id); ok {
		return s, nil
	}
	s, err := bsonjson.Text(id)
	if err != nil {
		return "", entryErrorf("partitionkey: the _id of the document: %w", err)
	}
	return s, nil
}

func dataOf(v bson.RawValue) (json.RawMessage, error) {
	if absent(v) {
		return null, nil
	}
	data, err := bsonjson.Append(nil, v)
	if errors.Is(err, bsonjson.ErrInexact) {
		err = fmt.Errorf("%w; store it as a text", err)
	}
	if err != nil {
		return nil, entryErrorf("data: %w", err)
	}
	return data, nil
}

func versionOf(v bson.RawValue) (int, error) {
	if absent(v) {
		return 1, nil
	}
	if s, ok := v.StringValueOK(); ok {
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil {
			return 0, entryErrorf("dataversion %q is not a number", s)
		}
		return int(n), nil
	}
	n, ok := v.AsInt64OK()
	if f, isDouble := v.DoubleOK(); isDouble {
		ok = f == float64(n) // what a script writes as 2 may be stored as 2.0
	}
	if !ok {
		return 0, entryErrorf("dataversion is not a whole number")
	}
	return int(n), nil
}

// timeOf returns the entry's time, else that in its id, else that of the write.
func (o *origin) timeOf(v, id bson.RawValue) (time.Time, error) {
	if absent(v) {
		if t := idTime(id); !t.IsZero() {
			return t, nil
		}
		return o.wall.UTC(), nil
	}
	if ms, ok := v.DateTimeOK(); ok {
		return time.UnixMilli(ms).UTC(), nil
	}
	s, _ := v.StringValueOK()
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return t, entryErrorf("time is neither a date nor an RFC 3339 text: %v", v)
	}
	return t.UTC(), nil
}

// idTime is when an id was made, where the id has its time.
func idTime(v bson.RawValue) time.Time {
	if id, ok := v.ObjectIDOK(); ok {
		return id.Timestamp().UTC()
	}
	s, _ := idString(v)
	if id, err := uuid.Parse(s); err == nil && id.Version() == 7 {
		sec, nsec := id.Time().UnixTime()
		return time.Unix(sec, nsec).UTC()
	}
	return time.Time{}
}

// sequenceDigits is the length of an event's sequence.
const sequenceDigits = 20

// sequenceOf returns the entry's sequence, padded with zeros, else one made from the cluster time:
// its seconds, its ordinal and the number of the entry in it, in one number that
// grows with the stream.
func (o *origin) sequenceOf(own string) (string, error) {
	if own == "" {
		n := uint64(o.at.T)*1e9 + uint64(min(o.at.I, 999_999))*1000 + uint64(min(o.number, 999))
		return fmt.Sprintf("%0*d", sequenceDigits, n), nil
	}
	if _, err := strconv.ParseUint(own, 10, 64); err != nil || len(own) > sequenceDigits {
		return "", entryErrorf("sequence %q is not a number of at most %d digits", own, sequenceDigits)
	}
	return strings.Repeat("0", sequenceDigits-len(own)) + own, nil
}

// ids tie an event to the request that led to it.
type ids struct {
	TraceParent, CorrelationID, CausationID string
}

// correlate copies the ids of the document where the entry has none at all.
func (o *origin) correlate(e *events.Event) {
	if e.TraceParent == "" && e.CorrelationID == "" && e.CausationID == "" && o.ids != nil {
		from := o.ids()
		e.TraceParent, e.CorrelationID, e.CausationID = from.TraceParent, from.CorrelationID, from.CausationID
	}
	if e.CorrelationID == "" {
		e.CorrelationID = e.ID
	}
}

// idsOf reads the sub-document of ids. It drops ids that are not fit for a log line or an
// event: the event matters more than its correlation.
func idsOf(v bson.RawValue) ids {
	doc, ok := v.DocumentOK()
	if !ok {
		return ids{}
	}
	get := func(name string) string {
		s, _ := idString(doc.Lookup(name))
		if len(s) > correlation.MaxID || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return ""
		}
		return s
	}
	return ids{get("traceparent"), get("correlationid"), get("causationid")}
}

var null = json.RawMessage("null")
