package sidecar

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/banyan-fig/banyan/events"
)

// read returns the events of the request, ready to be published: all of them, or
// an error.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, ids http.Header) ([]item, error) {
	mode := cehttp.NewMessage(r.Header, nil).ReadEncoding()
	if mode == binding.EncodingUnknown {
		return nil, errNoEvent(r.Header)
	}
	body, err := h.body(w, r)
	if err != nil {
		return nil, err
	}
	switch mode {
	case binding.EncodingBatch:
		return h.readBatch(body, ids)
	case binding.EncodingStructured:
		return h.prepare([]parser{func() (*event.Event, error) { return parseJSON(body) }}, ids)
	}
	return h.prepare([]parser{func() (*event.Event, error) { return parseBinary(r.Header, body) }}, ids)
}

func (h *Handler) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(h.cfg.ReadTimeout)) // a recorder has none
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.cfg.MaxBodyBytes))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, h.errBody()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, errSlow
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the body broke off: %w", events.ErrMalformed, err)
	}
	// Otherwise the deadline would end the request's context while it waits.
	_ = control.SetReadDeadline(time.Time{})
	return body, nil
}

// parser parses one event. Where it fails, the returned event has its
// id at most.
type parser func() (*event.Event, error)

func (h *Handler) readBatch(body []byte, ids http.Header) ([]item, error) {
	if err := checkJSON(body, '[', "a batch is a JSON array of events"); err != nil {
		return nil, err
	}
	var all []parser
	for one := range splitJSON(body) {
		if len(all) == h.cfg.MaxEvents {
			return nil, fmt.Errorf("%w: a batch has %d events at most; send several", errTooLarge, h.cfg.MaxEvents)
		}
		all = append(all, func() (*event.Event, error) { return parseJSON(one) })
	}
	return h.prepare(all, ids)
}

// prepare makes items of all events. Where some are invalid, it returns the items
// with the errors, and the first of these.
func (h *Handler) prepare(all []parser, ids http.Header) ([]item, error) {
	items := make([]item, len(all))
	var first error
	for i, parse := range all {
		items[i] = h.item(parse, ids)
		if err := items[i].err; err != nil && first == nil {
			first = err
			if len(all) > 1 {
				first = fmt.Errorf("event %d of the batch, none of which was published: %w", i, err)
			}
		}
	}
	return items, first
}

// item is an event of a request, with its outcome.
type item struct {
	id      string
	key     string
	data    []byte
	dropped []string

	kept kept
	pos  events.Position
	err  error
}

func (h *Handler) item(parse parser, ids http.Header) item {
	ce, err := parse()
	if err != nil {
		return item{id: ce.ID(), err: err}
	}
	it := item{id: ce.ID()}
	e, dropped, err := h.complete(ce, ids)
	if err != nil {
		it.err = err
		return it
	}
	it.key, it.dropped = e.PartitionKey, dropped
	if it.data, err = events.Encode(e); err != nil {
		it.err = withoutPrefix(err)
	} else if size := len(it.data) + len(it.key); size > h.cfg.MaxEventBytes {
		it.err = fmt.Errorf("%w: it has %d bytes with its envelope and its key, and the limit of the stream is %d", errTooLarge, size, h.cfg.MaxEventBytes)
	} else {
		it.err = h.checkPayload(e)
	}
	return it
}

// checkPayload refuses data that no consumer could read.
func (h *Handler) checkPayload(e events.Event) error {
	if h.cfg.Check == nil {
		return nil
	}
	return withoutPrefix(h.cfg.Check(e))
}

// withoutPrefix removes the event's id from the text, since the account has it.
func withoutPrefix(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// parseJSON parses an event in structured JSON by the SDK, which is handed only
// what has the right shape: it is lenient about some, and panics at others.
func parseJSON(b []byte) (*event.Event, error) {
	id, err := checkShape(b)
	if err != nil {
		return onlyID(id), err
	}
	var e event.Event
	if err := json.Unmarshal(b, &e); err != nil {
		return onlyID(id), fmt.Errorf("%w: %.200s", events.ErrMalformed, err.Error())
	}
	return &e, nil
}

func onlyID(id string) *event.Event {
	return &event.Event{Context: &event.EventContextV1{ID: id}}
}

// parseBinary parses an event of the binary mode by the SDK.
func parseBinary(header http.Header, body []byte) (*event.Event, error) {
	id := onlyID(header.Get("Ce-Id"))
	decoded, err := attributeHeaders(header)
	if err != nil {
		return id, err
	}
	e, err := binding.ToEvent(context.Background(), cehttp.NewMessage(decoded, io.NopCloser(bytes.NewReader(body))))
	if err != nil {
		return id, fmt.Errorf("%w: %.200s", events.ErrMalformed, err.Error())
	}
	return e, nil
}
