package once

import "github.com/banyan-fig/banyan/events"

// AttrPosition holds the position of the event that an item was written for.
const AttrPosition = "pos"

// Absent holds when there is no such item.
func Absent() Expression {
	return Expression{Text: "attribute_not_exists(#pk)", Names: map[string]string{"#pk": "pk"}}
}

// Newer holds when the item is absent or was written for an earlier event.
func Newer(p events.Position) Expression { return against("<", p) }

// NotOlder is like Newer, and holds for the same event as well: so that work
// that was cut short after this item can be taken up again.
func NotOlder(p events.Position) Expression { return against("<=", p) }

func against(operator string, p events.Position) Expression {
	return Expression{
		Text:   "attribute_not_exists(#pk) OR #pos " + operator + " :pos",
		Names:  map[string]string{"#pk": "pk", "#pos": AttrPosition},
		Values: Attributes{":pos": S(p.String())},
	}
}

// Exactly holds when the item was written for this event and no other.
func Exactly(p events.Position) Expression {
	return Expression{
		Text:   "#pos = :pos",
		Names:  map[string]string{"#pos": AttrPosition},
		Values: Attributes{":pos": S(p.String())},
	}
}

// NewestVersion holds when the item has no version, a lower one, or the same
// from an earlier event.
func NewestVersion(version int64, p events.Position) Expression {
	return Expression{
		Text: "attribute_not_exists(#version) OR #version < :version OR (#version = :version AND #pos < :pos)",
		Names: map[string]string{
			"#version": "version", "#pos": AttrPosition,
		},
		Values: Attributes{":version": N(version), ":pos": S(p.String())},
	}
}

// Watermark is the step that raises the highest position applied for a user's
// partition key. It never goes back.
func Watermark(user string, p events.Position) Step {
	return Step{Items: []Item{Put(WatermarkKey(user), Attributes{AttrPosition: S(p.String())}, Newer(p))}}
}

// WatermarkKey is where [Watermark] is kept.
func WatermarkKey(user string) Key { return At("user#"+user, "watermark") }
