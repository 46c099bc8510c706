package rebuild

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers/rebuild/livetable"
	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// ErrNoWayBack is returned where there is no former table to go back to.
var ErrNoWayBack = errors.New("there is no former table to go back to")

// Switch moves the pointer, as it was before the tables were compared, to the new table, and
// returns when no reader has known the former one for longer than age. Called again it waits again.
func (c Control) Switch(ctx context.Context, was livetable.Pointer, table string, age time.Duration) (_ livetable.Pointer, err error) {
	if was.Table != table {
		if was, err = c.pointers().Set(ctx, was, table, was.Table); err != nil {
			return was, err
		}
	}
	if err := backoff.Sleep(ctx, age); err != nil {
		return was, fmt.Errorf("the pointer is at %s, but readers may not follow it yet, give the same command again: %w", table, err)
	}
	return was, nil
}

// Back moves the pointer to the table that was live before the switch, and waits as [Control.Switch]
// does. It compares nothing: that table has all because its consumer never stopped.
func (c Control) Back(ctx context.Context, model string, age time.Duration) (livetable.Pointer, error) {
	s, p, err := c.Both(ctx, model)
	switch {
	case err != nil:
		return p, err
	case p.Former == "":
		return p, fmt.Errorf("%w: %s is the live table of %q, and it was not switched since this rebuild began", ErrNoWayBack, p.Table, model)
	case p.Table == s.Plan.Table:
		return c.Switch(ctx, p, p.Former, age)
	}
	return c.Switch(ctx, p, p.Table, age) // it is back, and perhaps not for long enough
}

// Both reads the rebuild and the pointer of a model.
func (c Control) Both(ctx context.Context, model string) (s State, p livetable.Pointer, err error) {
	if s, err = c.State(ctx, model); err == nil {
		p, err = c.Pointer(ctx, model)
	}
	return s, p, err
}

// Leftover is what nobody needs after a rebuild.
type Leftover struct {
	Table string `json:"table"`
	// Function writes to it; "" where that is the one that was live before.
	Function string `json:"function,omitempty"`
}

// Remove ends a rebuild, and with it the way back. The pointer stays, since readers follow it. It
// returns the table that is not live, which may be deleted once its consumer is stopped.
func (c Control) Remove(ctx context.Context, model string) (Leftover, livetable.Pointer, error) {
	s, p, err := c.Both(ctx, model)
	if err != nil {
		return Leftover{}, p, err
	}
	left := Leftover{Table: s.Plan.Table, Function: s.Plan.Function}
	if p.Table == s.Plan.Table {
		left = Leftover{Table: p.Former}
	}
	if p.Former != "" {
		if p, err = c.pointers().Set(ctx, p, p.Table, ""); err != nil {
			return left, p, err
		}
	}
	_, err = c.Client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &c.Table, Key: dynamo.Key(model, sortRebuild)})
	if err != nil {
		err = fmt.Errorf("remove the rebuild of %q from %s: %w", model, c.Table, err)
	}
	return left, p, err
}
