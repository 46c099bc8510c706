package gateway_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/entity/entitytest"
	"github.com/banyan-fig/banyan/services/entity/gateway"
)

// TestStoreThroughTheGateway: what a store promises, a client of the gateway has, whichever database
// owns the entity and while that changes.
func TestStoreThroughTheGateway(t *testing.T) {
	p, err := plan.Parse("plan.yaml", []byte(entitytest.Loans))
	must(t, err)
	entitytest.Run(t, entitytest.Config{Plan: p, Through: newClient})
}

// client is a store of documents whose _id is an objectId or a string, by requests to a gateway.
type client struct {
	plan *plan.Plan
	http *http.Client
	// patient is the URL of a gateway, and hasty that of one with little time for a request.
	patient, hasty string
}

const haste = 50 * time.Millisecond

func newClient(t testing.TB, s *entity.Store) entitytest.Store {
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	serve := func(timeout time.Duration) string {
		handler, err := gateway.New(gateway.Config{Store: s, Timeout: timeout, Log: slog.New(slog.DiscardHandler)})
		must(t, err)
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		return server.URL
	}
	return &client{plan: s.Plan(), http: &http.Client{Transport: transport}, patient: serve(2 * time.Minute), hasty: serve(haste)}
}

func (c *client) Plan() *plan.Plan { return c.plan }

func (c *client) Version(doc bson.Raw) int64 {
	v, _ := doc.Lookup(c.plan.VersionField).AsInt64OK()
	return v
}

func (c *client) Get(ctx context.Context, id any) (bson.Raw, error) {
	path, err := c.path(id)
	if err != nil {
		return nil, err
	}
	return c.getOne(ctx, path)
}

func (c *client) ByUnique(ctx context.Context, values bson.D) (bson.Raw, error) {
	q := url.Values{}
	var names []string
	for _, e := range values {
		q.Set(e.Key, textOf(e.Value))
		names = append(names, e.Key)
	}
	return c.getOne(ctx, "/by/"+strings.Join(names, "+")+"?"+q.Encode())
}

func (c *client) GetMany(ctx context.Context, ids ...any) ([]bson.Raw, error) {
	q := url.Values{"ids": {""}}
	for _, id := range ids {
		text, err := idText(id)
		if err != nil {
			return nil, err
		}
		q.Add("id", text)
	}
	docs, _, err := c.getAll(ctx, "?"+q.Encode())
	return docs, err
}

func (c *client) Query(ctx context.Context, ask entity.Query) ([]bson.Raw, string, error) {
	q, path := url.Values{}, ""
	if ask.Index != "" {
		path = "/index/" + url.PathEscape(ask.Index)
	}
	for name, v := range map[string]any{"equal": ask.Equal, "from": ask.From, "below": ask.Below} {
		if v != nil {
			q.Set(name, textOf(v))
		}
	}
	if ask.Descending {
		q.Set("descending", "true")
	}
	if ask.Limit != 0 {
		q.Set("limit", strconv.Itoa(ask.Limit))
	}
	if ask.Cursor != "" {
		q.Set("cursor", ask.Cursor)
	}
	return c.getAll(ctx, path+"?"+q.Encode())
}

// Create is a POST, which cannot be without an _id: the gateway would make one.
func (c *client) Create(ctx context.Context, doc bson.Raw, o entity.Options) (entity.Written, error) {
	path, err := c.path(doc.Lookup("_id"))
	if err != nil {
		return entity.Written{}, err
	}
	w, err := c.write(ctx, http.MethodPost, "", change{after: doc, version: 1, tell: o.Tell})
	if errors.Is(err, entity.ErrExists) {
		if doc, readErr := c.getOne(ctx, path); readErr == nil {
			w = entity.Written{Doc: doc, Version: c.Version(doc), Repeated: true}
		}
	}
	return w, err
}

// Update reads, and writes on the condition of what it has read, each time under another
// Idempotency-Key.
func (c *client) Update(ctx context.Context, id any, to func(bson.Raw) (bson.Raw, error), o entity.Options) (entity.Written, error) {
	path, err := c.path(id)
	if err != nil {
		return entity.Written{}, err
	}
	for {
		before, err := c.getOne(ctx, path)
		if err != nil {
			return entity.Written{}, err
		}
		is := c.Version(before)
		after, err := to(before)
		if errors.Is(err, entity.ErrUnchanged) {
			return entity.Written{Doc: before, Version: is, Repeated: true}, nil
		}
		if err != nil {
			return entity.Written{}, err
		}
		w, err := c.write(ctx, http.MethodPut, path, change{before: before, after: after, version: is + 1, tell: o.Tell,
			ifVersion: cmp.Or(o.IfVersion, &is), key: uuid.NewString()})
		if o.IfVersion != nil || !errors.Is(err, entity.ErrVersion) {
			return w, err
		}
	}
}

// Delete reads, to have what it deletes, and deletes on the condition of that. Where there is nothing,
// the gateway has to say so again.
func (c *client) Delete(ctx context.Context, id any, o entity.Options) (entity.Written, error) {
	path, err := c.path(id)
	if err != nil {
		return entity.Written{}, err
	}
	for {
		before, err := c.getOne(ctx, path)
		if err != nil && !errors.Is(err, entity.ErrNotFound) {
			return entity.Written{}, err
		}
		is := c.Version(before)
		if err != nil {
			is = -1 // which no document has that was made since
		}
		w, err := c.write(ctx, http.MethodDelete, path, change{before: before, tell: o.Tell, ifVersion: cmp.Or(o.IfVersion, &is)})
		if o.IfVersion != nil || !errors.Is(err, entity.ErrVersion) {
			w.Doc, w.Version = before, is
			return w, err
		}
	}
}

// change is what a request to write says.
type change struct {
	before, after bson.Raw
	version       int64 // of after, as far as the client knows
	tell          entity.Tell
	ifVersion     *int64
	key           string
}

func (c *client) write(ctx context.Context, method, path string, ch change) (w entity.Written, err error) {
	header := http.Header{"Accept": {"application/json;types=canonical"}}
	if ch.ifVersion != nil {
		header.Set("If-Match", fmt.Sprintf(`"%d"`, *ch.ifVersion))
	}
	if ch.key != "" {
		header.Set("Idempotency-Key", ch.key)
	}
	body, kind, err := c.body(ctx, ch)
	if err != nil {
		return w, err
	}
	if body != nil {
		header.Set("Content-Type", kind+";types=canonical")
	}
	a, err := c.send(ctx, method, path, header, body)
	if err != nil {
		return w, err
	}
	if ch.key != "" && ch.tell == nil {
		again, err := c.send(ctx, method, path, header, body) // as a client that had no answer
		switch {
		case errors.Is(err, entity.ErrNotFound): // as what has expired is
		case err != nil || again.Header.Get("Idempotency-Replayed") != "true" || again.Header.Get("ETag") != a.Header.Get("ETag"):
			return w, fmt.Errorf("answered with %v, and sent again under its key with %s %v", a.Header, again.body, err)
		}
	}
	if at := a.Header.Get(events.HeaderWritten); at != "" {
		if w.Position, err = events.ParsePosition(at); err != nil {
			return w, err
		}
	}
	if method != http.MethodDelete {
		w.Doc, err = c.document([]byte(a.body), a.Header.Get("ETag"))
		w.Version, w.Repeated = c.Version(w.Doc), method == http.MethodPost && a.StatusCode == http.StatusOK
	}
	return w, err
}

// body is that of a change, and its media type; nil where nothing is to be said.
func (c *client) body(ctx context.Context, ch change) (text []byte, kind string, err error) {
	after := ch.after
	if after != nil {
		var d bson.D
		if err = bson.Unmarshal(after, &d); err == nil {
			d = slices.DeleteFunc(d, func(e bson.E) bool { return e.Key == c.plan.VersionField })
			text, err = bson.MarshalExtJSON(d, true, false)
		}
		if err == nil {
			after, err = bson.Marshal(append(d, bson.E{Key: c.plan.VersionField, Value: ch.version}))
		}
		if err != nil {
			return nil, "", fmt.Errorf("%w: %w", entity.ErrInvalid, err)
		}
	}
	if ch.tell == nil {
		return text, "application/json", nil
	}
	told, err := ch.tell(ctx, ch.before, after)
	if err != nil {
		return nil, "", err
	}
	all := []any{}
	for _, e := range told {
		all = append(all, map[string]any{"type": e.Type, "subject": e.Subject, "partitionkey": e.PartitionKey, "dataversion": e.Version, "data": e.Data})
	}
	envelope := map[string]any{"events": all}
	if text != nil {
		envelope["document"] = json.RawMessage(text)
	}
	text, err = json.Marshal(envelope)
	return text, "application/vnd.banyan.write+json", err
}

func (c *client) getOne(ctx context.Context, path string) (bson.Raw, error) {
	a, err := c.send(ctx, http.MethodGet, path, http.Header{"Accept": {"application/json;types=canonical"}}, nil)
	if err != nil {
		return nil, err
	}
	return c.document([]byte(a.body), a.Header.Get("ETag"))
}

func (c *client) getAll(ctx context.Context, path string) (docs []bson.Raw, next string, err error) {
	a, err := c.send(ctx, http.MethodGet, path, http.Header{"Accept": {"application/json;types=canonical"}}, nil)
	if err != nil {
		return nil, "", err
	}
	var page struct {
		Items []struct {
			ETag     string
			Document json.RawMessage
		}
		Next string `json:"nextCursor"`
	}
	if err := json.Unmarshal([]byte(a.body), &page); err != nil {
		return nil, "", err
	}
	for _, i := range page.Items {
		doc, err := c.document(i.Document, i.ETag)
		if err != nil {
			return nil, "", err
		}
		docs = append(docs, doc)
	}
	return docs, page.Next, nil
}

// send makes a request, whose error is the one of the store that a problem stands for. Whoever has
// no time is answered by the gateway that has none.
func (c *client) send(ctx context.Context, method, path string, header http.Header, body []byte) (a answer, err error) {
	base := c.patient
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= haste {
		base, ctx = c.hasty, context.WithoutCancel(ctx)
	}
	r, err := http.NewRequestWithContext(ctx, method, base+"/v1/"+c.plan.Entity+path, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	r.Header = header
	res, err := c.http.Do(r)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if a = (answer{res, string(text)}); err == nil && res.StatusCode >= 300 {
		err = a.problem()
	}
	return a, err
}

// problem is the error of the store that an answer stands for.
func (a answer) problem() error {
	var p struct{ Type, Detail, Field string }
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		return fmt.Errorf("%s: %.300s", a.Status, a.body)
	}
	switch kind := strings.TrimPrefix(p.Type, "/problems/"); kind {
	case "version":
		version, err := versionOf(a.Header.Get("ETag"))
		return cmp.Or(err, error(&entity.VersionError{Version: version}))
	case "taken":
		return &entity.TakenError{Fields: strings.Split(p.Field, "+")}
	case "unfit":
		return fmt.Errorf("%w: %w", entity.ErrUnfit, &codec.FitError{Reason: errors.New(p.Detail)})
	default:
		err, ok := map[string]error{"invalid": entity.ErrInvalid, "cursor": entity.ErrCursor, "not-found": entity.ErrNotFound,
			"id-taken": entity.ErrExists, "conflict": entity.ErrConflict, "not-published": entity.ErrNotPublished,
			"held": ownership.ErrHeld, "no-lease": ownership.ErrNoLease}[kind]
		if !ok {
			err = errors.New(kind)
		}
		return fmt.Errorf("%s: %w: %s", a.Status, err, p.Detail)
	}
}

// document is one with its version behind all else.
func (c *client) document(text []byte, etag string) (bson.Raw, error) {
	var d bson.D
	version, err := versionOf(etag)
	if err == nil {
		err = bson.UnmarshalExtJSON(text, true, &d)
	}
	if err != nil {
		return nil, fmt.Errorf("%.300s with ETag %s: %w", text, etag, err)
	}
	if version > 0 {
		d = append(d, bson.E{Key: c.plan.VersionField, Value: version})
	}
	return bson.Marshal(d)
}

func versionOf(etag string) (int64, error) { return strconv.ParseInt(strings.Trim(etag, `"`), 10, 64) }

func (c *client) path(id any) (string, error) {
	text, err := idText(id)
	return "/" + url.PathEscape(text), err
}

// idText is an _id as it is in a path; what has none is not to be asked for.
func idText(id any) (string, error) {
	kind, value, err := bson.MarshalValue(id)
	v := bson.RawValue{Type: kind, Value: value}
	if oid, ok := v.ObjectIDOK(); err == nil && ok {
		return oid.Hex(), nil
	}
	if text, ok := v.StringValueOK(); err == nil && ok {
		return text, nil
	}
	return "", fmt.Errorf("%w: the id %.100v", entity.ErrInvalid, id)
}

// textOf is a value in a query: a string as it is, all else Extended JSON.
func textOf(v any) string {
	doc, err := bson.Marshal(bson.D{{Key: "v", Value: v}})
	if err != nil {
		return err.Error()
	}
	if text, ok := bson.Raw(doc).Lookup("v").StringValueOK(); ok {
		return text
	}
	return bson.Raw(doc).Lookup("v").String()
}
