package gateway

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/entity/entityhttp"
	"github.com/banyan-fig/banyan/services/entity/gateway/extjson"
	"github.com/banyan-fig/banyan/services/httpjson"
)

// Media types of bodies besides application/json.
const (
	typePatch = "application/merge-patch+json"
	typeWrite = "application/vnd.banyan.write+json"
)

// change is what a request wants to be written.
type change struct {
	id      bson.RawValue
	doc     bson.Raw // or patch
	options entity.Options
	key     *requestKey // nil for none
	status  int         // of the answer
	// replayed is what the answer to the request was; nil if it is made the first time.
	replayed *answered
}

// writeBody is a body of typeWrite.
type writeBody struct {
	Document json.RawMessage `json:"document"`
	Patch    json.RawMessage `json:"patch"`
	Events   []eventBody     `json:"events"`
}

// readChangeOf reads a request about the document of the path.
func (g *gateway) readChangeOf(w http.ResponseWriter, r *http.Request, part string) (*change, error) {
	id, err := g.idOfText(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	c, err := g.readChange(w, r, part)
	if err == nil {
		c.id = id
	}
	return c, err
}

// readChange reads a request whose body is a "document" or a "patch", or nothing: "".
func (g *gateway) readChange(w http.ResponseWriter, r *http.Request, part string) (*change, error) {
	version, err := entityhttp.IfMatch(r)
	if err != nil {
		return nil, err
	}
	body, err := httpjson.ReadBody(w, r, g.MaxBody)
	if err != nil {
		return nil, err
	}
	c := &change{options: entity.Options{IfVersion: version}}
	if c.key, err = readKey(r, body); err != nil {
		return nil, err
	}
	if c.key != nil {
		c.options.Mark = func(doc bson.Raw, version int64) (bson.Raw, error) { return c.key.mark(doc, version, c.status) }
	}
	return c, g.readBody(r, body, part, c)
}

func (g *gateway) readBody(r *http.Request, body []byte, part string, c *change) error {
	header := r.Header.Get("Content-Type")
	kind, params, err := mime.ParseMediaType(header)
	switch {
	case part == "" && len(body) == 0:
		return nil
	case err != nil || kind != typeWrite && (part == "" || kind != "application/json" && (part != "patch" || kind != typePatch)):
		return fmt.Errorf("%w, or %s, with events %s: not %.80q", httpjson.ErrMediaType, typePatch, typeWrite, header)
	}
	if kind == typeWrite {
		if body, err = g.readEvents(body, part, c); err != nil || part == "" {
			return err
		}
	}
	form := g.plain
	if params["types"] == "canonical" {
		form.Types = nil
	}
	c.doc, err = form.Parse(body)
	return err
}

// readEvents reads a body of typeWrite, and returns its document or patch.
func (g *gateway) readEvents(body []byte, part string, c *change) ([]byte, error) {
	if err := extjson.Check(body); err != nil {
		return nil, err
	}
	var in writeBody
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return nil, fmt.Errorf("%w: body of %s: %w", entity.ErrInvalid, typeWrite, err)
	}
	parts := map[string]json.RawMessage{"document": in.Document, "patch": in.Patch}
	for name, text := range parts {
		if (text != nil) != (name == part) {
			return nil, fmt.Errorf("%w: the body must have the member %q and no other besides events", entity.ErrInvalid, cmp.Or(part, "events"))
		}
	}
	if len(in.Events) > MaxEvents {
		return nil, fmt.Errorf("%w: %d events, at most %d can be of one write", entity.ErrInvalid, len(in.Events), MaxEvents)
	}
	if len(in.Events) > 0 {
		c.options.Tell = g.tell(c, in.Events)
	}
	return parts[part], nil
}

// tell makes the events. Under a key they have the same ids each time, as they may be published
// again.
func (g *gateway) tell(c *change, bodies []eventBody) entity.Tell {
	return func(ctx context.Context, before, after bson.Raw) (all []events.Event, err error) {
		id, err := g.textOfID(c.id)
		if err != nil {
			return nil, err
		}
		version := max(g.Store.Version(after), g.Store.Version(before))
		if c.replayed != nil {
			version = c.replayed.Version
		}
		var factory events.Factory
		if c.key != nil {
			factory.NewID = func() (string, error) {
				return c.key.derive(g.path, id, version, c.key.request, len(all)).String(), nil
			}
		}
		size := 0
		for _, body := range bodies {
			body.Key = cmp.Or(body.Key, id)
			e, err := factory.New(ctx, g.Source, body)
			if err != nil {
				return nil, err
			}
			if size += len(e.Data); size > maxEventData {
				return nil, fmt.Errorf("%w: the events of one write have more than %d bytes of data", entity.ErrInvalid, maxEventData)
			}
			all = append(all, e)
		}
		return all, nil
	}
}

// maxEventData bounds the events of a write, which wait in one item, in bytes.
const maxEventData = 128 << 10

// eventBody is an event of a write; it is an events.Payload.
type eventBody struct {
	Type    string          `json:"type"`
	About   string          `json:"subject"`
	Key     string          `json:"partitionkey"`
	Version int             `json:"dataversion"`
	Data    json.RawMessage `json:"data"`
}

// EventType implements events.Payload.
func (e eventBody) EventType() string { return e.Type }

// EventVersion implements events.Payload.
func (e eventBody) EventVersion() int { return cmp.Or(e.Version, 1) }

// Subject implements events.Payload.
func (e eventBody) Subject() string { return e.About }

// PartitionKey implements events.Payload.
func (e eventBody) PartitionKey() string { return e.Key }

// MarshalJSON implements json.Marshaler.
func (e eventBody) MarshalJSON() ([]byte, error) { return []byte(cmp.Or(string(e.Data), "null")), nil }
