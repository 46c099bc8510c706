package cutover

import (
	"context"

	"github.com/banyan-fig/banyan/migrate/gate"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// gate is the gate of the collection under the name that it has now.
func (e *Cutover) gate(ctx context.Context, rec ownership.Record) (gate.Gate, error) {
	members, err := e.Owners.Members(ctx, e.Plan.Entity)
	g := e.Gate
	g.Collection, g.Service = rec.Collection, gate.ServiceOf(members)
	return g, err
}

// watchOthers looks for others who use the collection, stores who does, and returns what
// speaks against the cut-over. A dry run stores nobody.
func (c *attempt) watchOthers(ctx context.Context) (problems []string, err error) {
	g, err := c.gate(ctx, c.rec)
	if err != nil {
		return nil, err
	}
	g.Passive = c.opts.DryRun
	var evidence gate.Evidence
	if c.opts.Watch > 0 {
		evidence, err = g.Watch(ctx, c.opts.Watch)
	} else {
		evidence, err = g.Look(ctx)
	}
	if err != nil {
		return nil, err
	}
	seen := evidence.Clients
	if !c.opts.DryRun {
		if seen, err = c.Control.AddClients(ctx, seen); err != nil {
			return nil, err
		}
	}
	c.sum.Evidence = evidence.Summary()
	if !c.opts.DryRun {
		// The announcement looks again. By then the transaction of a reader that has died is
		// ended: whoever follows the way back takes its shard over.
		evidence.OpenTransaction = 0
	}
	problems, c.sum.Warnings = gate.Judge(evidence, seen, c.Plan.Gate)
	return problems, nil
}

// addClients adds those who were seen using the collection, by whichever verb.
func (e *Cutover) addClients(ctx context.Context, p *problems) error {
	seen, err := e.Control.Clients(ctx)
	refusals, _ := gate.Judge(gate.Evidence{}, seen, e.Plan.Gate)
	*p = append(*p, refusals...)
	return err
}
