package timeline

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/banyan-fig/banyan/consumers/once"
)

// Trim cuts a user's timeline to its newest entries, up to the cap, and keeps
// the newest post that it cut off as the floor: below it, the table no longer
// says anything. The model does this itself every now and then.
func (m *Model) Trim(ctx context.Context, user string) error {
	in := m.newest(prefixTimeline+user, 0)
	in.ProjectionExpression = aws.String("#sk")
	in.ExpressionAttributeNames["#sk"] = "sk"
	ids, err := m.sortKeys(ctx, in)
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
	steps := make([]once.Step, len(old))
	for i, id := range old {
		steps[i] = once.Step{Items: []once.Item{once.Delete(entryKey(user, id))}}
	}
	if _, err := m.group.Do(ctx, steps...); err != nil {
		return fmt.Errorf("trim the timeline of %s: %w", user, err)
	}
	return nil
}

// raiseFloor comes before the entries go, so that none is ever missing that the
// floor does not explain.
func (m *Model) raiseFloor(ctx context.Context, user, post string) error {
	_, err := m.group.Do(ctx, once.Step{Items: []once.Item{
		once.Put(floorKey(user), once.Attributes{attrPost: once.S(post)}, once.Expression{
			Text:   "attribute_not_exists(#pk) OR #post < :post",
			Names:  map[string]string{"#pk": "pk", "#post": attrPost},
			Values: once.Attributes{":post": once.S(post)},
		}),
	}})
	if err != nil {
		return fmt.Errorf("raise the floor of %s: %w", user, err)
	}
	return nil
}
