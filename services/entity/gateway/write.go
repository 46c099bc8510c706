package gateway

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/entity/entityhttp"
)

// races bounds how often a PUT finds the document deleted, or made, in between.
const races = 8

func (g *gateway) post(w http.ResponseWriter, r *http.Request) error {
	c, err := g.readChange(w, r, "document")
	if err != nil {
		return err
	}
	if c.id, err = c.doc.LookupErr("_id"); err != nil {
		if c.id, err = g.newID(c.key); err != nil {
			return err
		}
		c.setID()
	}
	return g.writeChange(w, r, c, func(ctx context.Context) (entity.Written, error) { return g.create(ctx, c) })
}

func (g *gateway) put(w http.ResponseWriter, r *http.Request) error {
	c, err := g.readChangeOf(w, r, "document")
	if err != nil {
		return err
	}
	if id, err := c.doc.LookupErr("_id"); err != nil {
		c.setID()
	} else if codec.Identity(id) != codec.Identity(c.id) {
		return fmt.Errorf("%w: the document's _id is another one than the path's", entity.ErrInvalid)
	}
	switch r.Header.Get("If-None-Match") {
	case "":
	case "*":
		return g.writeChange(w, r, c, func(ctx context.Context) (entity.Written, error) {
			done, err := g.create(ctx, c)
			if errors.Is(err, entity.ErrExists) {
				err = &entity.VersionError{Version: done.Version}
			}
			return done, err
		})
	default:
		return fmt.Errorf("%w: If-None-Match can be * only", entity.ErrInvalid)
	}
	return g.writeChange(w, r, c, func(ctx context.Context) (done entity.Written, err error) {
		for range races {
			if done, err = g.update(ctx, c, c.replace); !errors.Is(err, entity.ErrNotFound) || r.Header.Get("If-Match") != "" {
				return done, err
			}
			if done, err = g.create(ctx, c); !errors.Is(err, entity.ErrExists) {
				return done, err
			}
		}
		return done, fmt.Errorf("%w: %w", entity.ErrConflict, err)
	})
}

func (g *gateway) patch(w http.ResponseWriter, r *http.Request) error {
	c, err := g.readChangeOf(w, r, "patch")
	if err != nil {
		return err
	}
	return g.writeChange(w, r, c, func(ctx context.Context) (entity.Written, error) {
		return g.update(ctx, c, func(current bson.Raw) (bson.Raw, error) { return mergePatch(current, c.doc), current.Validate() })
	})
}

func (g *gateway) delete(w http.ResponseWriter, r *http.Request) error {
	c, err := g.readChangeOf(w, r, "")
	if err != nil {
		return err
	}
	if c.key != nil {
		current, err := g.Store.Get(r.Context(), c.id)
		if err == nil {
			_, err = c.key.find(current)
		}
		if err != nil && !errors.Is(err, entity.ErrNotFound) {
			return err
		}
	}
	done, err := g.Store.Delete(r.Context(), c.id, c.options)
	if err != nil && !(errors.Is(err, entity.ErrNotFound) && c.key != nil) {
		return err
	}
	entityhttp.WriteWritten(w, http.StatusNoContent, 0, done.Position, nil)
	return nil
}

// create makes the document, unless the request did so before.
func (g *gateway) create(ctx context.Context, c *change) (entity.Written, error) {
	c.status = http.StatusCreated
	done, err := g.Store.Create(ctx, c.doc, c.options)
	if errors.Is(err, entity.ErrExists) && c.key != nil {
		exists := err
		found, err := g.update(ctx, c, func(bson.Raw) (bson.Raw, error) { return nil, exists })
		if errors.Is(err, exists) {
			found = done
		}
		return found, err
	}
	if err == nil && done.Repeated {
		if c.replayed, err = c.key.find(done.Doc); c.replayed == nil {
			c.status = http.StatusOK
		}
	}
	return done, err
}

// update changes the document, unless the request did so before.
func (g *gateway) update(ctx context.Context, c *change, to func(current bson.Raw) (bson.Raw, error)) (entity.Written, error) {
	var reused error // whatever the version is
	done, err := g.Store.Update(ctx, c.id, func(current bson.Raw) (bson.Raw, error) {
		if c.replayed, reused = c.key.find(current); reused != nil {
			return nil, reused
		}
		if c.replayed != nil {
			return nil, entity.ErrUnchanged
		}
		c.status = http.StatusOK
		next, err := to(current)
		if err != nil {
			return nil, err
		}
		is, err := g.canonical.Append(nil, next)
		if err != nil { // before it is written, rather than behind
			return nil, notShown(err)
		}
		if was, err := g.canonical.Append(nil, current); err == nil && c.key == nil && bytes.Equal(was, is) {
			return nil, entity.ErrUnchanged
		}
		return next, nil
	}, c.options)
	return done, cmp.Or(reused, err)
}

// writeChange makes a change and answers with the document.
func (g *gateway) writeChange(w http.ResponseWriter, r *http.Request, c *change, do func(context.Context) (entity.Written, error)) error {
	done, err := do(r.Context())
	if err != nil {
		return err
	}
	text, err := g.accepted(r).Append(nil, done.Doc)
	if err != nil {
		return notShown(err)
	}
	status, version := c.status, done.Version
	if c.replayed != nil {
		status, version = int(c.replayed.Status), c.replayed.Version
		w.Header().Set("Idempotency-Replayed", "true")
	}
	if status == http.StatusCreated {
		id, err := g.textOfID(c.id)
		if err != nil {
			return err
		}
		w.Header().Set("Location", g.path+"/"+url.PathEscape(id))
	}
	entityhttp.WriteWritten(w, status, version, done.Position, json.RawMessage(text))
	return nil
}

// replace is the body's document in the place of the current one, whose keys of requests stay.
func (c *change) replace(current bson.Raw) (bson.Raw, error) {
	next := []bson.RawElement{entity.Element("_id", current.Lookup("_id"))}
	fields, err := c.doc.Elements()
	for _, e := range fields {
		if e.Key() != "_id" {
			next = append(next, e)
		}
	}
	if kept, err := current.LookupErr(RequestsField); err == nil {
		next = append(next, entity.Element(RequestsField, kept))
	}
	return entity.Join(next...), err
}

// mergePatch is RFC 7396, on documents that are well-formed.
func mergePatch(target, patch bson.Raw) bson.Raw {
	fields, _ := target.Elements()
	changes, _ := patch.Elements()
	changed := map[string]bson.RawElement{}
	for _, e := range changes {
		changed[e.Key()] = e
	}
	var out []bson.RawElement
	merge := func(before bson.RawValue, change bson.RawElement) {
		v := change.Value()
		if into, isDocument := v.DocumentOK(); isDocument {
			inner, ok := before.DocumentOK()
			if !ok {
				inner = entity.Join()
			}
			v.Value = mergePatch(inner, into)
		}
		if v.Type != bson.TypeNull {
			out = append(out, entity.Element(change.Key(), v))
		}
	}
	for _, e := range fields {
		if change, ok := changed[e.Key()]; ok {
			merge(e.Value(), change)
			delete(changed, e.Key())
		} else {
			out = append(out, e)
		}
	}
	for _, e := range changes {
		if _, isNew := changed[e.Key()]; isNew {
			merge(bson.RawValue{}, e)
		}
	}
	return entity.Join(out...)
}

// setID gives the document its _id, before all other fields.
func (c *change) setID() {
	fields, _ := c.doc.Elements() // it was made of JSON
	c.doc = entity.Join(append([]bson.RawElement{entity.Element("_id", c.id)}, fields...)...)
}
