package timeline

import (
	"context"
	"fmt"
	"hash/fnv"

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

// trimEvery is how many entries a timeline gets, on average, between two checks of its
// length.
const trimEvery = 64

// trimSometimes cuts the timeline to its cap at about every 64th entry. The ids decide,
// so that a repeated delivery does the same.
func (m *Model) trimSometimes(ctx context.Context, user, post string) error {
	h := fnv.New32a()
	_, _ = h.Write([]byte(user + "/" + post))
	if h.Sum32()%trimEvery != 0 {
		return nil
	}
	return m.Trim(ctx, user)
}
