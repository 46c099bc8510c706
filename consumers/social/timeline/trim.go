package timeline

import (
	"context"
	"fmt"

	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Trim cuts a user's timeline to its newest entries, up to the cap, and stores the newest
// post that it cut off as the floor: below it, the table says nothing. The model does
// this itself about every 64 entries.
func (m *Model) Trim(ctx context.Context, user string) error {
	ids, err := m.sortKeys(ctx, m.newestFirst(prefixTimeline+user, 0))
	if err != nil {
		return fmt.Errorf("read the timeline of %s: %w", user, err)
	}
	if len(ids) <= m.cfg.Cap {
		return nil
	}
	old := ids[m.cfg.Cap:]
	if err := m.raiseFloor(ctx, user, old[0]); err != nil {
		return err
	}
	changes := make([]once.Change, len(old))
	for i, id := range old {
		changes[i] = once.Change{Ops: []once.Op{once.Delete(entryKey(user, id))}}
	}
	if _, err := m.writer.Write(ctx, changes...); err != nil {
		return fmt.Errorf("trim the timeline of %s: %w", user, err)
	}
	return nil
}

// raiseFloor runs before entries are deleted, so that every missing entry is at or below
// the floor.
func (m *Model) raiseFloor(ctx context.Context, user, post string) error {
	_, err := m.writer.Write(ctx, once.Change{Ops: []once.Op{
		once.Put(floorKey(user), dynamo.Item{attrPost: dynamo.String(post)}, once.Condition{
			Text:   "attribute_not_exists(#pk) OR #post < :post",
			Names:  map[string]string{"#pk": dynamo.AttrPK, "#post": attrPost},
			Values: dynamo.Item{":post": dynamo.String(post)},
		}),
	}})
	if err != nil {
		return fmt.Errorf("raise the floor of %s: %w", user, err)
	}
	return nil
}
