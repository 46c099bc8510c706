package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	validation "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/banyan-fig/banyan/events"
)

// Document is an AsyncAPI document that events are checked by, for programs that
// have no Go types of them. Safe for concurrent use.
type Document struct {
	messages map[messageName]message
}

type messageName struct {
	eventType string
	version   int
}

type message struct {
	data     *validation.Schema
	key      string // the member that is the partition key, "" where none is
	personal []events.PersonalMember
}

// ReadFile is [Read] for a file.
func ReadFile(name string) (*Document, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	d, err := Read(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return d, nil
}

// Read reads a document that [AsyncAPI] wrote, or another in JSON whose messages
// have the same form. A reference leads within the same data's schema: nothing is ever
// fetched.
//
// Whoever writes one by hand bounds the work that checking takes: an anyOf of which two
// branches refer back to the schema takes twice the time for each level that data nests.
func Read(document []byte) (*Document, error) {
	var parsed struct {
		Components struct {
			Messages map[string]struct {
				Payload struct {
					Schema struct {
						Properties struct {
							Type        struct{ Const string }
							DataVersion struct{ Const int }
							Data        json.RawMessage
						}
					}
				}
			}
		}
	}
	if err := json.Unmarshal(document, &parsed); err != nil {
		return nil, fmt.Errorf("schema: read an AsyncAPI document in JSON: %w", err)
	}
	d := &Document{messages: map[messageName]message{}}
	for key, m := range parsed.Components.Messages {
		properties := m.Payload.Schema.Properties
		name := messageName{properties.Type.Const, properties.DataVersion.Const}
		if name.eventType == "" || name.version < 1 || properties.Data == nil {
			return nil, fmt.Errorf("schema: message %q of the AsyncAPI document lacks payload.schema.properties.type.const, dataversion.const or data", key)
		}
		read, err := compileMessage(properties.Data)
		if err != nil {
			return nil, fmt.Errorf("schema: message %q of the AsyncAPI document: %w", key, err)
		}
		if _, ok := d.messages[name]; ok {
			return nil, fmt.Errorf("schema: message %q of the AsyncAPI document: another message has the type %q version %d too", key, name.eventType, name.version)
		}
		d.messages[name] = read
	}
	if len(d.messages) == 0 {
		return nil, errors.New("schema: the AsyncAPI document has no messages under components.messages")
	}
	return d, nil
}

func compileMessage(data []byte) (message, error) {
	var m message
	parsed, err := validation.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return m, err
	}
	if keywords, ok := parsed.(map[string]any); ok && keywords[PartitionKey] != nil {
		if m.key, ok = keywords[PartitionKey].(string); !ok || m.key == "" {
			return m, fmt.Errorf("%s must be the name of a member, not %v", PartitionKey, keywords[PartitionKey])
		}
	}
	c := validation.NewCompiler()
	c.DefaultDraft(validation.Draft2020)
	c.AssertFormat()
	c.UseLoader(validation.SchemeURLLoader{}) // nothing is fetched
	const base = "https://banyan.invalid/data.json"
	if err := c.AddResource(base, parsed); err != nil {
		return m, err
	}
	if m.data, err = c.Compile(base); err != nil {
		return m, err
	}
	m.personal, err = personalMembers(data)
	return m, err
}

// Check reports whether the data of e fits the schema of its type and version, and
// whether the member that is the partition key equals that of the envelope: nil or
// [events.ErrMalformed]. It is nil for types and versions that the document lacks.
func (d *Document) Check(e events.Event) error {
	m, ok := d.messages[messageName{e.Type, e.Version}]
	if !ok {
		return nil
	}
	data, err := validation.UnmarshalJSON(bytes.NewReader(e.Data))
	if err == nil {
		err = m.data.Validate(data)
	}
	if err != nil {
		return fmt.Errorf("schema: event %s: %w", e.ID, fmt.Errorf("%w: data: does not fit %s version %d: %s", events.ErrMalformed, e.Type, e.Version, oneLine(err)))
	}
	object, ok := data.(map[string]any)
	if !ok || m.key == "" {
		return nil
	}
	switch key := object[m.key].(type) {
	case string, json.Number:
		if key := fmt.Sprint(key); key != e.PartitionKey {
			return fmt.Errorf("schema: event %s: %w", e.ID, fmt.Errorf("%w: partitionkey: the envelope has %q, and %s version %d names %q in its member %q",
				events.ErrMalformed, e.PartitionKey, e.Type, e.Version, shorten(key, maxKeyText), m.key))
		}
	default:
		return fmt.Errorf("schema: event %s: %w: data: does not fit %s version %d: its member %q, the partition key, must be a text or a number",
			e.ID, events.ErrMalformed, e.Type, e.Version, m.key)
	}
	return nil
}

// The length of what errors quote from data, which may have megabytes.
const (
	maxKeyText = events.MaxPartitionKey
	maxReason  = 2000
)

func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..."
}

// oneLine drops the first line of a validation error, which names no member, and
// everything beyond maxReason.
func oneLine(err error) string {
	lines := strings.Split(err.Error(), "\n")
	if len(lines) > 1 {
		lines = lines[1:]
	}
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(strings.TrimSpace(line), "- ")
	}
	return shorten(strings.Join(lines, "; "), maxReason)
}
