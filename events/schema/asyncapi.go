package schema

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/banyan-fig/banyan/events"
)

// Info is the metadata of an AsyncAPI document.
type Info struct {
	Title   string // of the document, such as "Events of the shop"
	Version string // of the document, such as "1.4.0"
	Stream  string // name of the Kinesis stream
}

// AsyncAPI returns an AsyncAPI 3.0 document of all types of r, indented, with a
// newline at the end: one channel, which is the stream, and a message for each
// version of each type, with its envelope.
func AsyncAPI(info Info, r *events.Registry) ([]byte, error) {
	messages, references := map[string]any{}, map[string]any{}
	for _, t := range r.Types() {
		message, err := messageOf(t)
		if err != nil {
			return nil, err
		}
		key := componentKey(name(t))
		messages[key] = message
		references[key] = map[string]any{"$ref": "#/components/messages/" + key}
	}
	document := map[string]any{
		"asyncapi": "3.0.0",
		"info":     map[string]any{"title": info.Title, "version": info.Version},
		"channels": map[string]any{"events": map[string]any{"address": info.Stream, "messages": references}},
		"operations": map[string]any{
			"publish": map[string]any{"action": "send", "channel": map[string]any{"$ref": "#/channels/events"}},
			"consume": map[string]any{"action": "receive", "channel": map[string]any{"$ref": "#/channels/events"}},
		},
		"components": map[string]any{"messages": messages},
	}
	out, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("schema: write the AsyncAPI document: %w", err)
	}
	return append(out, '\n'), nil
}

func messageOf(t events.Type) (any, error) {
	data, err := Of(t)
	if err != nil {
		return nil, err
	}
	example, err := json.Marshal(t.Example)
	if err != nil {
		return nil, fmt.Errorf("schema: example of %s version %d: %w", t.Name, t.Version, err)
	}
	return map[string]any{
		"name":        t.Name,
		"title":       fmt.Sprintf("%s, version %d", t.Name, t.Version),
		"description": "Partition key: " + t.PartitionKey + ".",
		"contentType": "application/cloudevents+json",
		"payload": map[string]any{
			"schemaFormat": "application/schema+json;version=draft-2020-12",
			"schema":       envelope(t, data),
		},
		"examples": []any{map[string]any{"name": "data", "payload": map[string]any{
			"type": t.Name, "dataversion": t.Version, "subject": t.Example.Subject(),
			"partitionkey": t.Example.PartitionKey(), "data": json.RawMessage(example),
		}}},
	}, nil
}

// envelope is the schema of a whole event; package events describes its members.
func envelope(t events.Type, data json.RawMessage) any {
	text, always := map[string]any{"type": "string"}, func(v any) any { return map[string]any{"const": v} }
	return map[string]any{
		"type": "object",
		"required": []string{
			"specversion", "id", "source", "type", "dataversion", "time", "partitionkey", "sequence", "data",
		},
		"properties": map[string]any{
			"specversion": always("1.0"), "type": always(t.Name), "dataversion": always(t.Version),
			"datacontenttype": always("application/json"),
			"id":              text, "source": text, "subject": text,
			"traceparent": text, "correlationid": text, "causationid": text,
			"time":         map[string]any{"type": "string", "format": "date-time"},
			"partitionkey": map[string]any{"type": "string", "minLength": 1, "maxLength": events.MaxPartitionKey},
			"sequence":     map[string]any{"type": "string", "pattern": "^[0-9]{20}$"},
			"callchain":    map[string]any{"type": "integer", "minimum": 0},
			"debuglog":     map[string]any{"type": "boolean"},
			"data":         data,
		},
	}
}

// componentKey writes a name in the characters that AsyncAPI allows for a key.
func componentKey(name string) string {
	var key strings.Builder
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-':
			key.WriteRune(r)
		default:
			fmt.Fprintf(&key, "_%x_", r)
		}
	}
	return key.String()
}
