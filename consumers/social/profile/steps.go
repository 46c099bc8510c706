package profile

import (
	"context"
	"time"

	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
)

// nameStep keeps the newest name and bio, beside the counters of the item.
func nameStep(user, name, bio string, version int64, pos events.Position) once.Step {
	e := nameValues(name, version, pos)
	e.Names["#bio"], e.Values[":bio"] = attrBio, once.S(bio)
	return once.Step{Items: []once.Item{once.Update(profileKey(user), setName+", #bio = :bio", e)}}
}

const setName = "SET #name = :name, #version = :version, #pos = :pos"

// nameValues is the condition with what setName refers to as well.
func nameValues(name string, version int64, pos events.Position) once.Expression {
	e := once.NewestVersion(version, pos)
	e.Names["#name"], e.Values[":name"] = attrName, once.S(name)
	return e
}

func joinStep(p social.UserJoined, pos events.Position) once.Step {
	e := nameValues(p.Name, 0, pos)
	e.Names["#joined"], e.Values[":joined"] = attrJoined, joinedAt(p)
	return once.Step{Items: []once.Item{
		once.Update(profileKey(p.UserID), setName+", #joined = if_not_exists(#joined, :joined)", e),
	}}
}

func joinedStep(p social.UserJoined) once.Step {
	return once.Step{Items: []once.Item{
		once.Update(profileKey(p.UserID), "SET #joined = :joined", once.Expression{
			Text:   "attribute_not_exists(#joined)",
			Names:  map[string]string{"#joined": attrJoined},
			Values: once.Attributes{":joined": joinedAt(p)},
		}),
	}}
}

func joinedAt(p social.UserJoined) once.Value {
	return once.S(p.JoinedAt.UTC().Format(time.RFC3339Nano))
}

func postStep(p social.PostPublished, pos events.Position) once.Step {
	guard := once.Put(postKey(p.AuthorID, p.PostID), once.Attributes{once.AttrPosition: once.S(pos.String())}, once.Absent())
	return once.Step{
		Items: []once.Item{guard},
		Adds:  []once.Add{add(p.AuthorID, attrPosts, 1)},
	}
}

func add(user, counter string, n int64) once.Add {
	return once.Add{Key: profileKey(user), Deltas: map[string]int64{counter: n}}
}

type edge struct{ follower, author string }

// relate turns the edge and moves both counters with it. An edge that points
// the right way already only learns of the later position.
func (m *Model) relate(ctx context.Context, e edge, following bool, pos events.Position) (bool, error) {
	mark := once.Watermark(e.follower, pos)
	if e.follower == e.author {
		return m.one(ctx, mark)
	}
	turned, err := m.one(ctx, e.turn(following, pos), mark)
	if err != nil || turned {
		return turned, err
	}
	return m.one(ctx, e.confirm(following, pos))
}

// turn is the step for an edge that points the other way. One that is absent
// does not follow.
func (e edge) turn(following bool, pos events.Position) once.Step {
	n := int64(1)
	if !following {
		n = -1
	}
	return once.Step{
		Items: []once.Item{e.put(following, pos, e.pointing(!following, pos))},
		Adds:  []once.Add{add(e.follower, attrFollowing, n), add(e.author, attrFollowers, n)},
	}
}

// confirm is the step for an edge that points the right way.
func (e edge) confirm(following bool, pos events.Position) once.Step {
	return once.Step{Items: []once.Item{e.put(following, pos, e.pointing(following, pos))}}
}

func (e edge) put(following bool, pos events.Position, condition once.Expression) once.Item {
	return once.Put(edgeKey(e.follower, e.author), once.Attributes{
		attrFollowing: once.B(following), once.AttrPosition: once.S(pos.String()),
	}, condition)
}

// pointing holds for an edge that points the given way since an earlier event.
func (e edge) pointing(following bool, pos events.Position) once.Expression {
	c := once.Expression{
		Text:   "#following = :way AND #pos < :pos",
		Names:  map[string]string{"#pos": once.AttrPosition, "#following": attrFollowing},
		Values: once.Attributes{":pos": once.S(pos.String()), ":way": once.B(following)},
	}
	if !following {
		c.Text = "attribute_not_exists(#pk) OR (" + c.Text + ")"
		c.Names["#pk"] = "pk"
	}
	return c
}
