package cutover

import (
	"context"
	"errors"

	"github.com/banyan-fig/banyan/migrate/ownership"
)

// Entities are switched in the order of switchAfter and rolled back in the opposite one. Two
// processes can be at it at once: each writes what it is about to do, the one its dependence
// and its phase and the other its phase, before it looks at the other's, so that at least one
// of them sees the other and is undone.

// addOrder adds which other entities must change their owner before this one.
func (e *Cutover) addOrder(ctx context.Context, p *problems, d direction) error {
	if d == back {
		return e.addDependents(ctx, p)
	}
	for _, name := range e.Plan.SwitchAfter {
		rec, err := e.Owners.Load(ctx, name)
		switch {
		case err != nil:
			return err
		case rec.Phase != ownership.Switched && rec.Phase != ownership.Complete:
			p.add("the plan's switchAfter names the entity %s, whose phase is %s: run its `banyan-migrate cutover` first", name, rec.Phase)
		}
	}
	return nil
}

// addDependents adds the entities that were switched after this one.
func (e *Cutover) addDependents(ctx context.Context, p *problems) error {
	names, err := e.Control.Dependents(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		rec, err := e.Owners.Load(ctx, name)
		switch {
		case err != nil:
			return err
		case rec.Phase == ownership.Complete:
			p.add("the entity %s was switched after this one, as its plan says, and its migration is complete: there is no way back any more", name)
		case rec.Owner == ownership.DynamoDB || rec.Phase == ownership.Switching:
			p.add("the entity %s was switched after this one, as its plan says: run its `banyan-migrate rollback` first", name)
		}
	}
	return nil
}

// noteOrder writes down, before this entity is switched, that those before it must stay so.
func (c *attempt) noteOrder(ctx context.Context) error {
	if c.direction == back {
		return nil
	}
	for _, name := range c.Plan.SwitchAfter {
		if rec, err := c.Owners.Load(ctx, name); err != nil {
			return err
		} else if rec.Phase == ownership.Complete { // nothing of it may be left behind
			continue
		}
		if err := c.Control.Of(name).AddDependent(ctx, c.Plan.Entity); err != nil {
			return err
		}
	}
	return nil
}

// confirmOrder looks again, once the phase says what this process is about to do.
func (c *attempt) confirmOrder(ctx context.Context) error {
	var p problems
	if err := c.addOrder(ctx, &p, c.direction); err != nil || len(p) == 0 {
		return err
	}
	return errors.New(p[0])
}
