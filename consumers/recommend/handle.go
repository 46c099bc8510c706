package recommend

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// maxUser is the most characters that an id has: a partition key of events, as a rule.
const maxUser = events.MaxPartitionKey

// Handle applies one event; it is a consumers.Handler.
func (m *Model) Handle(ctx context.Context, msg consumers.Message) error {
	if m.cfg.Edges == nil {
		return consumers.Permanent(errors.New("recommend: Config.Edges is not set: this model handles no events"))
	}
	var changes []once.Change
	var hide []once.Change // changes nothing where the list does not have the user
	if user := m.cfg.Left(msg); user != "" {
		changes = append(changes, leave(user, msg.Position))
	}
	for _, e := range m.cfg.Edges(msg) {
		if e.From == "" || e.To == "" || len(e.From) > maxUser || len(e.To) > maxUser {
			return consumers.Permanent(fmt.Errorf("recommend: event %s: invalid edge from %.300q to %.300q: ids must have 1 to %d characters",
				msg.Event.ID, e.From, e.To, maxUser))
		}
		if e.From == e.To {
			continue
		}
		changes = append(changes, connect(e, msg.Position))
		if e.Present {
			hide = append(hide, hideFrom(e.From, e.To))
		}
	}
	if len(changes) == 0 {
		return nil
	}
	applied, err := m.writer.Write(ctx, slices.Concat(changes, hide)...)
	if err == nil && !slices.Contains(applied[:len(changes)], true) {
		return consumers.ErrStale
	}
	return err
}

// connect states an edge, and makes its user due.
func connect(e Edge, p events.Position) once.Change {
	in := once.Delete(inKey(e.To, e.From))
	if e.Present {
		in = once.Put(inKey(e.To, e.From), nil, once.Condition{})
	}
	return once.Change{
		Ops: []once.Op{
			once.Put(outKey(e.From, e.To), once.At(p, dynamo.Item{attrPresent: dynamo.Bool(e.Present)}), once.Newer(p)),
			in,
		},
		Adds: []once.Add{{Key: dueKey(e.From), Deltas: map[string]int64{attrMarks: 1, attrOwn: 1}}},
	}
}

func leave(user string, p events.Position) once.Change {
	return once.Change{
		Ops: []once.Op{
			once.Put(once.KeyOf(prefixOut+user, sortLeft), once.At(p, nil), once.Absent()),
			once.Put(once.KeyOf(prefixIn+user, sortLeft), once.At(p, nil), once.Condition{}),
		},
		Adds: []once.Add{{Key: dueKey(user), Deltas: map[string]int64{attrMarks: 1, attrOwn: 1}}},
	}
}

// hideFrom takes somebody out of a list, if they are in it.
func hideFrom(user, connected string) once.Change {
	return once.Change{Ops: []once.Op{once.Update(listKey(user), "REMOVE #user", once.Condition{
		Text: "attribute_exists(#user)", Names: map[string]string{"#user": prefixSuggestion + connected},
	})}}
}

// Touch makes a user due, unless they are.
func (m *Model) Touch(ctx context.Context, user string) error {
	mark := dynamo.Item{attrMarks: dynamo.Int(1), attrOwn: dynamo.Int(0)}
	err := m.writer.Apply(ctx, once.Change{Ops: []once.Op{once.Put(dueKey(user), mark, once.Absent())}})
	if errors.Is(err, consumers.ErrStale) {
		return nil
	}
	return err
}
