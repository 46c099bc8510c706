package warehouse

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/events"
)

// envelope is the columns that every table begins with.
var envelope = []Column{
	{Name: "event_position"}, // see events.Position: text whose order is that of the stream
	{Name: "event_shard"},
	{Name: "event_arrived", Type: Timestamp},
	{Name: "event_id"},
	{Name: "event_source"},
	{Name: "event_type"},
	{Name: "event_version", Type: Integer},
	{Name: "event_subject"},
	{Name: "event_time", Type: Timestamp},
	{Name: "event_partition_key"},
	{Name: "event_sequence"},
	{Name: "event_trace_parent"},
	{Name: "event_correlation_id"},
	{Name: "event_causation_id"},
	{Name: columnRest, Type: JSON},
}

const columnRest = "event_rest"

// timeFormat is read by all warehouses, and means UTC to them.
const timeFormat = "2006-01-02 15:04:05.000000"

// row returns the table and the line, with its newline, of an event.
func (c *Catalog) row(delivered Event) (*Table, []byte, error) {
	row := map[string]any{
		"event_position": delivered.Position.String(), "event_shard": delivered.Shard, "event_arrived": delivered.Arrived.UTC().Format(timeFormat),
	}
	e, err := events.Decode(delivered.Raw)
	table := c.other
	if err != nil {
		row["event_type"] = ""
		err = addRest(row, map[string]any{"error": err.Error(), "bytes": delivered.Raw})
	} else {
		var columns map[string]int
		table, columns = c.find(e)
		addEnvelope(row, e)
		err = addData(row, table, columns, e.Data)
	}
	if err != nil {
		return nil, nil, err
	}
	line, err := marshal(row)
	return table, line, err
}

func addEnvelope(row map[string]any, e events.Event) {
	row["event_id"], row["event_type"], row["event_version"] = e.ID, e.Type, e.Version
	row["event_time"] = e.Time.UTC().Format(timeFormat)
	for name, value := range map[string]string{
		"event_source": e.Source, "event_subject": e.Subject, "event_partition_key": e.PartitionKey, "event_sequence": e.Sequence,
		"event_trace_parent": e.TraceParent, "event_correlation_id": e.CorrelationID, "event_causation_id": e.CausationID,
	} {
		if value != "" {
			row[name] = value
		}
	}
}

// addData adds the members to their columns, and what is not whole there to the rest.
func addData(row map[string]any, t *Table, columns map[string]int, data json.RawMessage) error {
	if len(data) == 0 {
		return nil
	}
	var members map[string]json.RawMessage
	if len(columns) == 0 || json.Unmarshal(data, &members) != nil || members == nil {
		return addRest(row, data)
	}
	rest := map[string]json.RawMessage{}
	for member, raw := range members {
		if string(raw) == "null" {
			continue
		}
		i, ok := columns[member]
		if ok {
			var value any
			if value, ok = columnValue(t.Columns[i].Type, raw); value != nil {
				row[t.Columns[i].Name] = value
			}
		}
		if !ok {
			rest[member] = raw
		}
	}
	if len(rest) == 0 {
		return nil
	}
	return addRest(row, rest)
}

func addRest(row map[string]any, rest any) error {
	text, err := marshal(rest)
	row[columnRest] = strings.TrimSuffix(string(text), "\n")
	return err
}

// marshal is json.Marshal without the escapes for HTML, and with a newline.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// columnValue is the value of a column for JSON other than null; nil where it does not fit.
// whole is false where the value is not all of it.
func columnValue(t Type, raw json.RawMessage) (value any, whole bool) {
	switch t {
	case JSON:
		return string(raw), true
	case Boolean:
		switch string(raw) {
		case "true", "false":
			return raw, true
		}
	case Integer:
		return integerValue(string(raw))
	case Float:
		return floatValue(string(raw))
	case Text, Timestamp:
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return nil, false
		}
		if t == Timestamp {
			return timeValue(s)
		}
		if !strings.ContainsAny(s, "\x00\uFFFD") { // what no warehouse takes, and what stands for half a surrogate pair
			return s, true
		}
	}
	return nil, false
}

func integerValue(raw string) (any, bool) {
	const exact = 1 << 53 // of a float, which JSON's readers may take it for
	n, err := strconv.ParseInt(raw, 10, 64)
	switch {
	case err != nil:
		return nil, false
	case n >= exact || n <= -exact:
		return raw, true
	}
	return n, true
}

// floatValue is whole where the float's own text is the number, or the number has so few
// digits that a float keeps them.
func floatValue(raw string) (any, bool) {
	f, err := strconv.ParseFloat(raw, 64)
	if err != nil || raw == "" || raw[0] == '"' {
		return nil, false
	}
	written, err := json.Marshal(f)
	if err != nil {
		return nil, false
	}
	mantissa, _, _ := strings.Cut(strings.ToLower(raw), "e")
	digits := len(strings.TrimLeft(strings.NewReplacer("-", "", ".", "").Replace(mantissa), "0"))
	normal := math.Abs(f) > 1e-290 && math.Abs(f) < 1e290 || digits == 0
	return json.RawMessage(written), string(written) == raw || normal && digits <= 15
}

func timeValue(s string) (any, bool) {
	at, err := time.Parse(time.RFC3339Nano, s)
	if at = at.UTC(); err != nil || at.Year() < 1 || at.Year() > 9999 {
		return nil, false
	}
	return at.Format(timeFormat), at.Truncate(time.Microsecond).Format(time.RFC3339Nano) == s
}
