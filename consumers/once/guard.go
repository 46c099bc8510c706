package once

import (
	"fmt"
	"strings"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// AttrPosition is the attribute with the position of the event that an item was
// written for.
const AttrPosition = "pos"

// At is attributes with the position p among them, for a [Put] with a guard below.
func At(p events.Position, attributes dynamo.Item) dynamo.Item {
	item := dynamo.Item{AttrPosition: dynamo.String(p.String())}
	for name, v := range attributes {
		item[name] = v
	}
	return item
}

// Absent holds when the item does not exist: the first write wins.
func Absent() Condition {
	return Condition{Text: "attribute_not_exists(#pk)", Names: map[string]string{"#pk": dynamo.AttrPK}}
}

// Newer holds when the item does not exist, or was written for an earlier event. Items
// that state the present (a name, an address) need no other guard.
func Newer(p events.Position) Condition { return comparePosition("<", p) }

// NotOlder is like Newer and holds for the same event as well. It is for the first of
// several writes of one event: a second delivery resumes where the first was
// interrupted.
func NotOlder(p events.Position) Condition { return comparePosition("<=", p) }

func comparePosition(operator string, p events.Position) Condition {
	return Condition{
		Text:   "attribute_not_exists(#pk) OR #pos " + operator + " :pos",
		Names:  map[string]string{"#pk": dynamo.AttrPK, "#pos": AttrPosition},
		Values: dynamo.Item{":pos": dynamo.String(p.String())},
	}
}

// Exactly holds when the item was written for this event and no other.
func Exactly(p events.Position) Condition {
	return Condition{
		Text:   "#pos = :pos",
		Names:  map[string]string{"#pos": AttrPosition},
		Values: dynamo.Item{":pos": dynamo.String(p.String())},
	}
}

// Marker writes an item in the partition pk that says that the event had its effects.
// A [Change] with it happens once for each event, however often and in whatever order
// events are delivered or were published: it is the guard for sums, such as a
// counter. Markers stay until they are deleted.
func Marker(pk string, e events.Event, p events.Position) Op {
	return Put(markerKey(pk, e), At(p, nil), Absent())
}

// markerKey has the source, since ids are unique within one only. Escaped, an id has no
// "#", so that no other id and source give the same key.
func markerKey(pk string, e events.Event) Key {
	return KeyOf(pk, "event#"+escapeID.Replace(e.ID)+"#"+e.Source)
}

var escapeID = strings.NewReplacer("%", "%25", "#", "%23")

// PositionOf reads the position that the item was written for, zero when it has none.
func PositionOf(item dynamo.Item) (events.Position, error) {
	p, err := events.ParsePosition(dynamo.StringOf(item, AttrPosition))
	if err != nil {
		return p, fmt.Errorf("item %s/%s: %w", dynamo.StringOf(item, dynamo.AttrPK), dynamo.StringOf(item, dynamo.AttrSK), err)
	}
	return p, nil
}
