package filter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Source is the kind of stream or queue that records come from.
type Source string

// The sources whose records can be filtered.
const (
	Kinesis  Source = "kinesis"
	DynamoDB Source = "dynamodb"
	SQS      Source = "sqs"
)

// dataKey is the only key of a pattern that a source allows, or "".
var dataKey = map[Source]string{Kinesis: "data", SQS: "body"}

const (
	// maxFilters is the quota of patterns for a mapping ("Control which events
	// Lambda sends to your function").
	maxFilters = 5
	// maxPattern is the longest pattern (API reference, Filter).
	maxPattern = 4096
	// maxDepth bounds patterns here and is no limit of Lambda's.
	maxDepth = 32
)

// ErrInvalid is what Lambda says of a pattern that is none.
var ErrInvalid = errors.New("Invalid filter pattern definition.") //nolint:staticcheck // the service's own words

// Criteria are the patterns of a mapping. Nil keeps every record. They are safe
// for concurrent use.
type Criteria struct {
	source   Source
	patterns []fields
}

// Parse reads the texts of a mapping's patterns. Without any there is nothing to
// filter, and nil is returned. What is wrong with a pattern is an [ErrInvalid].
func Parse(source Source, texts []string) (*Criteria, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	if len(texts) > maxFilters {
		return nil, fmt.Errorf("%d filters are more than the quota of %d for a mapping", len(texts), maxFilters)
	}
	c := &Criteria{source: source}
	for _, text := range texts {
		p, err := parse(source, text)
		if err != nil {
			return nil, fmt.Errorf("%w (%s: %v)", ErrInvalid, text, err)
		}
		c.patterns = append(c.patterns, p)
	}
	return c, nil
}

func parse(source Source, text string) (fields, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("%d characters are more than %d", len(text), maxPattern)
	}
	value, err := decode([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("it is no JSON: %w", err)
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("it is no object")
	}
	if key := dataKey[source]; key != "" {
		for name := range object {
			if name != key && name != "$or" {
				return nil, fmt.Errorf("mappings for %s support filtering only on %s, not on %s", source, key, name)
			}
		}
	}
	if _, isObject := object["data"].(map[string]any); source == Kinesis && object["data"] != nil && !isObject {
		return nil, errors.New("the pattern of data must be an object, for data in JSON")
	}
	return compile(object, maxDepth)
}

// Keeps reports whether a record, as the function would get it, is to be
// delivered.
func (c *Criteria) Keeps(event []byte) bool {
	if c == nil {
		return true
	}
	record, isText, err := c.record(event)
	if err != nil {
		return false
	}
	for _, p := range c.patterns {
		if c.source == SQS && isText != p.forText() {
			continue
		}
		if p.matches(record) {
			return true
		}
	}
	return false
}

// forText says that a pattern is for bodies that are no JSON.
func (p fields) forText() bool {
	_, isLeaf := p["body"].(leaf)
	return isLeaf
}

// record is what patterns see of an event, and whether its body is no JSON.
func (c *Criteria) record(event []byte) (record any, isText bool, err error) {
	var e struct {
		Body    string
		Kinesis struct{ Data []byte }
	}
	if c.source == DynamoDB {
		record, err = decode(event)
		return record, false, err
	}
	if err := json.Unmarshal(event, &e); err != nil {
		return nil, false, err
	}
	data := e.Kinesis.Data
	if c.source == SQS {
		data = []byte(e.Body)
	}
	value, err := decode(data)
	if err != nil && c.source == SQS {
		value, isText, err = e.Body, true, nil
	}
	return map[string]any{dataKey[c.source]: value}, isText, err
}

// decode reads one JSON value, in which numbers stay as they are written.
func decode(text []byte) (value any, err error) {
	if !json.Valid(text) {
		return nil, errors.New("not valid JSON")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&value)
	return value, err
}
