package profile

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/consumers/social/readmodel"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

const (
	attrName      = "name"
	attrBio       = "bio"
	attrJoined    = "joined"
	attrFollowers = "followers"
	attrFollowing = "following"
	attrPosts     = "posts"
)

func profileKey(user string) once.Key { return once.KeyOf(readmodel.PrefixUser+user, "profile") }

// nameChange keeps the newest name and bio, beside the counters of the item.
func nameChange(p social.UserProfileUpdated, pos events.Position) once.Change {
	c := nameCondition(p.Name, p.Version, pos)
	c.Names["#bio"], c.Values[":bio"] = attrBio, dynamo.String(p.Bio)
	return once.Change{Ops: []once.Op{once.Update(profileKey(p.UserID), setName+", #bio = :bio", c)}}
}

const setName = "SET #name = :name, #version = :version, #pos = :pos"

// nameCondition has what setName refers to as well.
func nameCondition(name string, version int64, pos events.Position) once.Condition {
	c := readmodel.NewestVersion(version, pos)
	c.Names["#name"], c.Values[":name"] = attrName, dynamo.String(name)
	return c
}

func joinChange(p social.UserJoined, pos events.Position) once.Change {
	c := nameCondition(p.Name, 0, pos)
	c.Names["#joined"], c.Values[":joined"] = attrJoined, joinedAt(p)
	return once.Change{Ops: []once.Op{
		once.Update(profileKey(p.UserID), setName+", #joined = if_not_exists(#joined, :joined)", c),
	}}
}

func joinedAtChange(p social.UserJoined) once.Change {
	return once.Change{Ops: []once.Op{
		once.Update(profileKey(p.UserID), "SET #joined = :joined", once.Condition{
			Text:   "attribute_not_exists(#joined)",
			Names:  map[string]string{"#joined": attrJoined},
			Values: dynamo.Item{":joined": joinedAt(p)},
		}),
	}}
}

func joinedAt(p social.UserJoined) types.AttributeValue {
	return dynamo.String(p.JoinedAt.UTC().Format(time.RFC3339Nano))
}

func postChange(p social.PostPublished, pos events.Position) once.Change {
	post := once.KeyOf(readmodel.PrefixUser+p.AuthorID, "post#"+p.PostID)
	return once.Change{
		Ops:  []once.Op{once.Put(post, once.At(pos, nil), once.Absent())},
		Adds: []once.Add{addTo(p.AuthorID, attrPosts, 1)},
	}
}

func addTo(user, counter string, n int64) once.Add {
	return once.Add{Key: profileKey(user), Deltas: map[string]int64{counter: n}}
}

type edge struct{ follower, author string }

// flip is the change of an edge in the opposite state. An absent edge does
// not follow.
func (e edge) flip(following bool, pos events.Position) once.Change {
	n := int64(1)
	if !following {
		n = -1
	}
	return once.Change{
		Ops:  []once.Op{e.putOp(following, pos, isEarlier(!following, pos))},
		Adds: []once.Add{addTo(e.follower, attrFollowing, n), addTo(e.author, attrFollowers, n)},
	}
}

// raisePosition is the change of an edge that is already in the event's state.
func (e edge) raisePosition(following bool, pos events.Position) once.Change {
	return once.Change{Ops: []once.Op{e.putOp(following, pos, isEarlier(following, pos))}}
}

func (e edge) putOp(following bool, pos events.Position, c once.Condition) once.Op {
	key := once.KeyOf(readmodel.PrefixUser+e.follower, "edge#"+e.author)
	return once.Put(key, once.At(pos, dynamo.Item{attrFollowing: dynamo.Bool(following)}), c)
}

// isEarlier holds for an edge in that state since an earlier event.
func isEarlier(following bool, pos events.Position) once.Condition {
	c := once.Condition{
		Text:   "#following = :following AND #pos < :pos",
		Names:  map[string]string{"#pos": once.AttrPosition, "#following": attrFollowing},
		Values: dynamo.Item{":pos": dynamo.String(pos.String()), ":following": dynamo.Bool(following)},
	}
	if !following {
		c.Text = "attribute_not_exists(#pk) OR (" + c.Text + ")"
		c.Names["#pk"] = dynamo.AttrPK
	}
	return c
}
