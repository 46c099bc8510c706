package gateway

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/entity/entityhttp"
	"github.com/banyan-fig/banyan/services/entity/gateway/extjson"
	"github.com/banyan-fig/banyan/services/httpjson"
)

// page is the answer of a read of several documents.
type page struct {
	Items []item `json:"items"`
	Next  string `json:"nextCursor,omitempty"`
}

// item is a document with what else an answer about it alone says.
type item struct {
	ID       string          `json:"id"` // as it is in a path
	ETag     string          `json:"etag"`
	Document json.RawMessage `json:"document"`
}

func (g *gateway) get(w http.ResponseWriter, r *http.Request) error {
	id, err := g.idOfText(r.PathValue("id"))
	if err != nil {
		return err
	}
	doc, err := g.Store.Get(r.Context(), id)
	if err != nil {
		return err
	}
	return g.writeRead(w, r, doc)
}

func (g *gateway) writeRead(w http.ResponseWriter, r *http.Request, doc bson.Raw) error {
	text, err := g.accepted(r).Append(nil, doc)
	if err != nil {
		return notShown(err)
	}
	entityhttp.WriteRead(w, r, g.Store.Version(doc), json.RawMessage(text))
	return nil
}

// notShown is an error about a stored document, which is not the request's fault.
func notShown(err error) error { return fmt.Errorf("show a document: %v", err) }

// accepted is the form that a request asks its answer in.
func (g *gateway) accepted(r *http.Request) extjson.Form {
	for _, header := range r.Header.Values("Accept") {
		for kind := range strings.SplitSeq(header, ",") {
			if _, params, err := mime.ParseMediaType(kind); err == nil && params["types"] == "canonical" {
				return g.canonical
			}
		}
	}
	return g.plain
}

func (g *gateway) list(w http.ResponseWriter, r *http.Request) error {
	q, err := parameters(r, "ids", "id", "limit", "cursor")
	if err != nil {
		return err
	}
	if !q.Has("ids") && !q.Has("id") {
		return g.writePage(w, r, q, entity.Query{})
	}
	texts := q["id"]
	for _, list := range q["ids"] {
		texts = append(texts, strings.FieldsFunc(list, func(c rune) bool { return c == ',' })...)
	}
	ids := make([]any, len(texts))
	for i, text := range texts {
		if ids[i], err = g.idOfText(text); err != nil {
			return err
		}
	}
	docs, err := g.Store.GetMany(r.Context(), ids...)
	if err != nil {
		return err
	}
	return g.writeItems(w, r, docs, "")
}

// query asks by an index of the plan.
func (g *gateway) query(w http.ResponseWriter, r *http.Request) error {
	q, err := parameters(r, "equal", "from", "below", "descending", "limit", "cursor")
	if err != nil {
		return err
	}
	ask := entity.Query{Index: r.PathValue("name")}
	if text := q.Get("descending"); text != "" {
		if ask.Descending, err = strconv.ParseBool(text); err != nil {
			return fmt.Errorf("%w: descending must be true or false, not %.20q", entity.ErrInvalid, text)
		}
	}
	for _, x := range g.plan.Indexes {
		if x.Name != ask.Index {
			continue
		}
		for _, v := range []struct {
			name, field string
			to          *any
		}{{"equal", x.Key[0], &ask.Equal}, {"from", x.Key[len(x.Key)-1], &ask.From}, {"below", x.Key[len(x.Key)-1], &ask.Below}} {
			if !q.Has(v.name) {
				continue
			}
			if *v.to, err = g.parseField(v.field, q.Get(v.name)); err != nil {
				return err
			}
		}
	}
	return g.writePage(w, r, q, ask)
}

// parseField reads a field's value in a query. An _id is written as in a path.
func (g *gateway) parseField(field, text string) (bson.RawValue, error) {
	if field == "_id" {
		return g.idOfText(text)
	}
	return g.plain.ParseField(field, text)
}

func (g *gateway) writePage(w http.ResponseWriter, r *http.Request, q url.Values, ask entity.Query) error {
	var err error
	if ask.Limit, err = entityhttp.Limit(q.Get("limit"), entity.MaxMany); err != nil {
		return err
	}
	ask.Cursor = q.Get("cursor")
	docs, next, err := g.Store.Query(r.Context(), ask)
	if err != nil {
		return err
	}
	return g.writeItems(w, r, docs, next)
}

func (g *gateway) writeItems(w http.ResponseWriter, r *http.Request, docs []bson.Raw, next string) error {
	form := g.accepted(r)
	out := page{Items: make([]item, len(docs)), Next: next}
	for i, doc := range docs {
		text, err := form.Append(nil, doc)
		if err != nil {
			return notShown(err)
		}
		id, err := g.textOfID(doc.Lookup("_id"))
		if err != nil {
			return notShown(err)
		}
		out.Items[i] = item{ID: id, ETag: entityhttp.ETag(g.Store.Version(doc)), Document: text}
	}
	httpjson.WriteJSON(w, http.StatusOK, out)
	return nil
}

// by asks by a unique constraint of the plan.
func (g *gateway) by(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	for i := range g.plan.Unique {
		u := &g.plan.Unique[i]
		if u.Name() != name {
			continue
		}
		q, err := parameters(r, u.Names()...)
		if err != nil {
			return err
		}
		var values bson.D
		for _, field := range u.Names() {
			if !q.Has(field) {
				return fmt.Errorf("%w: the query must have a value of %s", entity.ErrInvalid, field)
			}
			v, err := g.parseField(field, q.Get(field))
			if err != nil {
				return err
			}
			values = append(values, bson.E{Key: field, Value: v})
		}
		doc, err := g.Store.ByUnique(r.Context(), values)
		if err != nil {
			return err
		}
		return g.writeRead(w, r, doc)
	}
	return fmt.Errorf("%w: the plan of %s has no unique constraint %.100q", entity.ErrInvalid, g.plan.Entity, name)
}

// parameters are those of a query, which has no others.
func parameters(r *http.Request, known ...string) (url.Values, error) {
	q, err := httpjson.Query(r)
	for name := range q {
		if err == nil && !slices.Contains(known, name) {
			err = fmt.Errorf("%w: unknown parameter %.50q: there are %s", entity.ErrInvalid, name, strings.Join(known, ", "))
		}
	}
	return q, err
}
