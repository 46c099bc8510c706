package socialtest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events"
)

// DiffProfiles lists where got, a snapshot, is not as want, a fold, by user. An older
// text or watermark is lost. That a missing unfollow looks like a follow too many
// cannot be seen from a counter.
func DiffProfiles(want, got Profiles) []Difference {
	return diff(want, got, func(c *comparison, want, got Profile) {
		c.text("left", fmt.Sprint(want.Left), fmt.Sprint(got.Left))
		c.text("name", want.Name, got.Name)
		c.text("bio", want.Bio, got.Bio)
		if !want.Joined.Equal(got.Joined) {
			c.add(Lost, "joined", want.Joined.String(), got.Joined.String())
		}
		c.watermark(want.Applied, got.Applied)
		c.number("followers", want.Followers, got.Followers)
		c.number("following", want.Following, got.Following)
		c.number("posts", want.Posts, got.Posts)
	})
}

// DiffTimelines lists where got, a snapshot, is not as want, a fold, by user. A missing
// entry, an older name or watermark is lost; an entry that should not be there was
// applied twice or from a stale delivery. Entries at or below the floor do not count.
func DiffTimelines(want, got Timelines) []Difference {
	return diff(want, got, func(c *comparison, want, got Timeline) {
		c.text("name", want.Name, got.Name)
		c.watermark(want.Applied, got.Applied)
		c.entries(entriesAbove(got.Floor, want.Entries), entriesAbove(got.Floor, got.Entries))
	})
}

func (c *comparison) entries(wanted, found map[string]timeline.Entry) {
	for _, id := range slices.Sorted(maps.Keys(wanted)) {
		e, ok := found[id]
		if !ok {
			c.add(Lost, "post "+id, "present", "absent")
		} else if !e.Equal(wanted[id]) {
			c.add(Lost, "post "+id, fmt.Sprintf("%+v", wanted[id]), fmt.Sprintf("%+v", e))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(found)) {
		if _, ok := wanted[id]; !ok {
			c.add(Twice, "post "+id, "absent", "present")
		}
	}
}

func diff[T any](want, got map[string]T, compare func(c *comparison, want, got T)) (all []Difference) {
	users := maps.Clone(got)
	maps.Copy(users, want)
	for _, user := range slices.Sorted(maps.Keys(users)) {
		c := comparison{user: user}
		compare(&c, want[user], got[user])
		all = append(all, c.all...)
	}
	return all
}

func (c *comparison) watermark(want, got events.Position) {
	if got.Before(want) {
		c.add(Lost, "watermark", want.String(), got.String())
	}
}

func entriesAbove(floor string, entries []timeline.Entry) map[string]timeline.Entry {
	m := make(map[string]timeline.Entry, len(entries))
	for _, e := range entries {
		if e.PostID > floor {
			m[e.PostID] = e
		}
	}
	return m
}
