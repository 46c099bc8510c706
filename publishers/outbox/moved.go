package outbox

import (
	"cmp"
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/infra/mongostream"
)

// names are those of the collections that events wait in, as configured.
func (r *Relay) names() []string { return slices.Concat(r.cfg.Documents, r.cfg.Outboxes) }

// collection returns a collection under the name that it had when it was looked for last.
func (r *Relay) collection(name string) *mongo.Collection {
	return r.cfg.Database.Collection((*r.places.Load())[name])
}

// setPlaces notes where the collections are; those that are not known are under their
// own names.
func (r *Relay) setPlaces(found map[string]mongostream.Place) map[string]string {
	places := make(map[string]string)
	for _, name := range r.names() {
		places[name] = cmp.Or(found[name].Name, name)
	}
	r.places.Store(&places)
	return places
}

// locate looks where the collections are. Whoever may not list them and never migrates
// does without.
func (r *Relay) locate(ctx context.Context) (map[string]string, error) {
	found, err := mongostream.Locate(ctx, r.cfg.Database, r.names()...)
	if mongoerr.HasCode(err, mongoerr.Unauthorized) {
		r.cfg.Log.Warn("a collection that migrate moves would not be found", "relay", r.cfg.Name, "error", err)
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return r.setPlaces(found), nil
}

// followMove looks where the collections are after one was renamed. Whatever else happens
// to one is no reason to stop: a collection that comes back may carry events again.
func (r *Relay) followMove(ctx context.Context, c mongostream.Change) error {
	if !c.IsMove() {
		return nil
	}
	r.moves.Note(c)
	r.cfg.Log.Info("migrate moved a collection; it is followed", "relay", r.cfg.Name, "event", &c)
	_, err := r.locate(ctx)
	return transient(err)
}

// belongs reports whether a change is one of the relay's collections, and gives it the
// configured name. What somebody writes to a name that migrate has moved the collection
// away from belongs to none: migrate shows it to its operator.
func (r *Relay) belongs(c *mongostream.Change) bool {
	name := c.Collection
	if !slices.Contains(r.names(), name) {
		name = mongostream.PublicName(name)
	}
	if !slices.Contains(r.names(), name) || r.moves.IsStray(c) {
		return false
	}
	c.Collection = name
	return true
}
