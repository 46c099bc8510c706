package migrate

import (
	"cmp"
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/gate"
	"github.com/banyan-fig/banyan/migrate/names"
)

// Clients is who uses the collection besides the service that owns it.
type Clients struct {
	gate.Evidence
	// Seen are those who were seen within the plan's window, by this look or by another
	// verb; the last ones first.
	Seen []control.Client `json:"seen"`
	// Refusals are why encapsulate and cutover would be refused on this evidence, Warnings
	// what they would let pass.
	Refusals []string `json:"refusals"`
	Warnings []string `json:"warnings"`
}

// gate is the gate of the collection under a name, with what is known of its service.
func (e *Engine) gate(collection string, service gate.Service) gate.Gate {
	return gate.Gate{DB: e.db, Control: e.control, Entity: e.Plan.Entity, Names: names.Names(e.Plan.Source.Collection),
		Collection: collection, VersionField: e.Plan.VersionField, Outbox: e.Plan.Outbox, Service: service, Log: e.Log,
		Dial: func(application, host string) (*mongo.Client, error) { return e.Dial(application, host, nil) }}
}

// Clients looks for d who uses the collection, 0 means 10 s, and stores who does, so that
// encapsulate and cutover know. It needs the control table, and no migration.
func (e *Engine) Clients(ctx context.Context, d time.Duration) (Clients, error) {
	rec, err := e.record(ctx)
	if err != nil {
		return Clients{}, err
	}
	return e.watchOthers(ctx, cmp.Or(rec.Collection, e.Plan.Source.Collection), d, false)
}

// watchOthers looks who uses the collection, and stores who does unless it is passive.
func (e *Engine) watchOthers(ctx context.Context, collection string, d time.Duration, passive bool) (c Clients, err error) {
	members, err := e.owners.Members(ctx, e.Plan.Entity)
	if err != nil {
		return c, err
	}
	g := e.gate(collection, gate.ServiceOf(members))
	g.Passive = passive
	if c.Evidence, err = g.Watch(ctx, d); err != nil {
		return c, err
	}
	all := c.Evidence.Clients
	if !passive {
		if all, err = e.control.AddClients(ctx, all); err != nil {
			return c, err
		}
	}
	since := time.Now().Add(-e.Plan.Gate.Window)
	for _, one := range all {
		if one.LastSeen.After(since) {
			c.Seen = append(c.Seen, one)
		}
	}
	c.Refusals, c.Warnings = gate.Judge(c.Evidence, c.Seen, e.Plan.Gate)
	return c, nil
}

// restoreProfilers restores what a gate that died has left, as well as it can.
func (e *Engine) restoreProfilers(ctx context.Context) {
	g := e.gate("", gate.Service{})
	if err := g.RestoreProfilers(ctx); err != nil {
		e.Log.Warn("restore profilers: failed", "error", err)
	}
}
