// Package line reads what CloudWatch Logs delivers to a stream, and what is in the
// lines: JSON, and the platform's reports. Nothing that it reads can make it use
// more than a bounded amount of memory or time.
package line

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Bounds of one record. CloudWatch Logs sends less than 1 MiB compressed, from
// calls of at most 10,000 events.
const (
	MaxRecord = 32 << 20 // bytes, decompressed
	MaxEvents = 100_000
	maxID     = 128
)

// Kinds of records.
const (
	Data    = "DATA_MESSAGE"
	Control = "CONTROL_MESSAGE"
)

// ErrNoLogs is why a record is not what CloudWatch Logs delivers.
var ErrNoLogs = errors.New("not a delivery of CloudWatch Logs")

// Record is one delivery: events of one log stream, in order.
type Record struct {
	MessageType string `json:"messageType"`
	Owner       string `json:"owner"`
	LogGroup    string `json:"logGroup"`
	LogStream   string `json:"logStream"`
	LogEvents   Events `json:"logEvents"`
}

// Event is one line of a log.
type Event struct {
	ID        string `json:"id"`
	Timestamp int64  `json:"timestamp"` // ms since 1970
	Message   string `json:"message"`
}

// UnmarshalJSON implements json.Unmarshaler. An id is text in what AWS documents,
// and a number in what moto delivers; both are taken.
func (e *Event) UnmarshalJSON(text []byte) error {
	var raw struct {
		ID        json.RawMessage `json:"id"`
		Timestamp int64           `json:"timestamp"`
		Message   string          `json:"message"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	e.Timestamp, e.Message = raw.Timestamp, raw.Message
	switch {
	case len(raw.ID) == 0:
		return nil // which Record.check refuses
	case raw.ID[0] >= '0' && raw.ID[0] <= '9':
		e.ID = string(raw.ID)
		return nil
	}
	return json.Unmarshal(raw.ID, &e.ID)
}

// Events are at most MaxEvents.
type Events []Event

// UnmarshalJSON implements json.Unmarshaler.
func (e *Events) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return fmt.Errorf("logEvents is no list: %w", ErrNoLogs)
	}
	for d.More() {
		if len(*e) == MaxEvents {
			return fmt.Errorf("more than %d events: %w", MaxEvents, ErrNoLogs)
		}
		var one Event
		if err := d.Decode(&one); err != nil {
			return err
		}
		*e = append(*e, one)
	}
	return nil
}

// Decode reads the data of a Kinesis record. The error wraps ErrNoLogs.
func Decode(data []byte) (Record, error) {
	text, err := gunzip(data)
	if err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrNoLogs, err)
	}
	var r Record
	if err := json.Unmarshal(text, &r); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrNoLogs, err)
	}
	return r, r.check()
}

func (r Record) check() error {
	switch {
	case r.MessageType == Control:
		return nil
	case r.MessageType != Data:
		return fmt.Errorf("%w: messageType is %.40q", ErrNoLogs, r.MessageType)
	case r.LogGroup == "" || r.LogStream == "":
		return fmt.Errorf("%w: log group or log stream is missing", ErrNoLogs)
	}
	for i, e := range r.LogEvents {
		if e.ID == "" || len(e.ID) > maxID {
			return fmt.Errorf("%w: event %d has no id, or one longer than %d bytes", ErrNoLogs, i, maxID)
		}
	}
	return nil
}

func gunzip(data []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r, MaxRecord+1))
	if err != nil {
		return nil, err
	}
	if len(text) > MaxRecord {
		return nil, fmt.Errorf("it grows beyond %d bytes", MaxRecord)
	}
	return text, nil
}
