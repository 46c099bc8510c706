package cutover

import (
	"context"

	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/reverse"
)

// direction is which way the owner changes.
type direction struct {
	name, command string // for people
	from, to      ownership.Store
	// The phases before, while it is under way, and after.
	before, during, after ownership.Phase
}

var (
	forth = direction{"cut-over", "banyan-migrate cutover", ownership.MongoDB, ownership.DynamoDB,
		ownership.Shadowing, ownership.Switching, ownership.Switched}
	back = direction{"rollback", "banyan-migrate rollback", ownership.DynamoDB, ownership.MongoDB,
		ownership.Switched, ownership.RollingBack, ownership.Shadowing}
)

// shown is a store as people call it.
func shown(s ownership.Store) string {
	if s == ownership.MongoDB {
		return "MongoDB"
	}
	return "DynamoDB"
}

// WayBack carries to MongoDB what is written to the table. *reverse.Reverse is one.
type WayBack interface {
	// WhileFollowing runs fn while it is followed, by this process too.
	WhileFollowing(ctx context.Context, fn func(context.Context) error) error
	// Drain returns when everything that was written to the table before is in MongoDB.
	Drain(ctx context.Context) error
	// DrainInAHurry is Drain while writes are held; tidy is to be called when they are not.
	DrainInAHurry(ctx context.Context) (tidy func(context.Context), err error)
	// Place is the place in the table's stream up to which all is in MongoDB.
	Place(ctx context.Context) ([]byte, error)
	// Tail collects what was written to the table behind a place.
	Tail(place []byte) (*reverse.Tail, error)
	// CountLateWrites counts the writes to the table that were ever kept as late.
	CountLateWrites(ctx context.Context) (int64, error)
	// Health is how far it has come.
	Health(ctx context.Context) (reverse.Health, error)
}

// step is one step of a change of owner. The steps up to the switch can be undone.
type step struct {
	name string
	do   func(context.Context) error
}

// steps are those before writes are held, those within the budget, and those after the
// switch.
func (c *attempt) steps() (before, held, after []step) {
	before = []step{{StepPreTail, c.preTail}, {StepAnnounce, c.announce}}
	held = []step{{StepHold, c.hold}, {StepFence, c.fence}, {StepDrain, c.drain}, {StepTail, c.compareTail}, {StepConfirm, c.confirm},
		{StepSwitch, c.switchOwner}}
	if c.direction == back {
		held = []step{{StepHold, c.hold}, {StepDrain, c.drainBack}, {StepFence, c.fence}, {StepTail, c.compareTailBack}, {StepConfirm, c.confirm},
			{StepPosition, c.setPosition}, {StepSwitch, c.switchOwner}}
	}
	return before, held, []step{{StepRelease, c.release}}
}

// Steps are the names of the steps of a cut-over from the announcement on, in their order.
func Steps() []string { return stepsOf(forth) }

// RollbackSteps are those of a rollback.
func RollbackSteps() []string { return stepsOf(back) }

func stepsOf(d direction) []string {
	var names []string
	before, held, after := (&attempt{direction: d}).steps()
	for _, s := range append(append(before[1:], held...), after...) {
		names = append(names, s.name)
	}
	return names
}
