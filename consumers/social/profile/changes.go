package profile

import (
	"math"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
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
	attrLeft      = "left"
	attrDeleted   = "deleted"
	attrRevision  = "rev"

	prefixEdge = "edge#"
)

func profileKey(user string) once.Key { return once.KeyOf(readmodel.PrefixUser+user, "profile") }
func leftKey(user string) once.Key    { return once.KeyOf(readmodel.PrefixUser+user, "left") }

// nameChange keeps the newest name and bio, beside the counters of the item.
func nameChange(p social.UserProfileUpdated, pos events.Position) once.Change {
	c := nameCondition(p.Name, p.Version, pos)
	c.Names["#bio"], c.Values[":bio"] = attrBio, dynamo.String(p.Bio)
	return once.Change{Ops: []once.Op{updateProfile(p.UserID, setName+", #bio = :bio", c)}}
}

// updateProfile counts the change in rev, by which a search index knows which of two states is newer.
func updateProfile(user, expression string, c once.Condition) once.Op {
	c.Names["#rev"], c.Values[":one"] = attrRevision, dynamo.Int(1)
	return once.Update(profileKey(user), expression+" ADD #rev :one", c)
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
		updateProfile(p.UserID, setName+", #joined = if_not_exists(#joined, :joined)", c),
	}}
}

func joinedAtChange(p social.UserJoined) once.Change {
	return once.Change{Ops: []once.Op{
		updateProfile(p.UserID, "SET #joined = :joined", once.Condition{
			Text:   "attribute_not_exists(#joined)",
			Names:  map[string]string{"#joined": attrJoined},
			Values: dynamo.Item{":joined": joinedAt(p)},
		}),
	}}
}

func joinedAt(p social.UserJoined) types.AttributeValue {
	return dynamo.String(p.JoinedAt.UTC().Format(time.RFC3339Nano))
}

// leftChange marks a profile as left and takes name and bio out of it. Its version is the last, which no name
// exceeds; the mark beside it is what a follow is checked against.
func leftChange(user string, pos events.Position) once.Change {
	return once.Change{Ops: []once.Op{
		once.Put(leftKey(user), once.At(pos, nil), once.Absent()),
		updateProfile(user, "SET #left = :left, #version = :version, #pos = :pos REMOVE #name, #bio", once.Condition{
			Names: map[string]string{
				"#left": attrLeft, "#version": readmodel.AttrVersion, "#pos": once.AttrPosition,
				"#name": attrName, "#bio": attrBio,
			},
			Values: dynamo.Item{
				":left": dynamo.Bool(true), ":version": dynamo.Int(math.MaxInt64), ":pos": dynamo.String(pos.String()),
			},
		}),
	}}
}

// followsQuery lists whom the user follows.
func followsQuery(table, user string) *dynamodb.QueryInput {
	return &dynamodb.QueryInput{
		TableName: &table, ConsistentRead: aws.Bool(true),
		KeyConditionExpression: aws.String("#pk = :pk AND begins_with(#sk, :edge)"),
		FilterExpression:       aws.String("#following = :true"),
		ProjectionExpression:   aws.String("#sk"),
		ExpressionAttributeNames: map[string]string{
			"#pk": dynamo.AttrPK, "#sk": dynamo.AttrSK, "#following": attrFollowing,
		},
		ExpressionAttributeValues: dynamo.Item{
			":pk": dynamo.String(readmodel.PrefixUser + user), ":edge": dynamo.String(prefixEdge), ":true": dynamo.Bool(true),
		},
	}
}

func postKey(author, post string) once.Key {
	return once.KeyOf(readmodel.PrefixUser+author, "post#"+post)
}

func postChange(p social.PostPublished, pos events.Position) once.Change {
	return once.Change{
		Ops:  []once.Op{once.Put(postKey(p.AuthorID, p.PostID), once.At(pos, nil), once.Absent())},
		Adds: []once.Add{addTo(p.AuthorID, attrPosts, 1)},
	}
}

// deleteChange is the deletion of a post that was counted, or of one that never came.
func deleteChange(p social.PostDeleted, counted bool, pos events.Position) once.Change {
	c := once.Change{}
	condition := once.Absent()
	if counted {
		condition.Text = "attribute_exists(#pk) AND attribute_not_exists(#deleted)"
		condition.Names["#deleted"] = attrDeleted
		c.Adds = []once.Add{addTo(p.AuthorID, attrPosts, -1)}
	}
	c.Ops = []once.Op{once.Put(postKey(p.AuthorID, p.PostID), once.At(pos, dynamo.Item{attrDeleted: dynamo.Bool(true)}), condition)}
	return c
}

func addTo(user, counter string, n int64) once.Add {
	return once.Add{Key: profileKey(user), Deltas: map[string]int64{counter: n, attrRevision: 1}}
}

type edge struct{ follower, author string }

// flip is the change of an edge in the opposite state. An absent edge does
// not follow, and whoever has left follows nobody.
func (e edge) flip(following bool, pos events.Position) once.Change {
	c := once.Change{Ops: []once.Op{e.putOp(following, pos, isEarlier(!following, pos))}}
	n := int64(-1)
	if following {
		n = 1
		c.Ops = append(c.Ops, once.Check(leftKey(e.follower), once.Absent()))
	}
	c.Adds = []once.Add{addTo(e.follower, attrFollowing, n), addTo(e.author, attrFollowers, n)}
	return c
}

// end is the change of an edge whose follower has left, and has no counters any more.
func (e edge) end(pos events.Position) once.Change {
	return once.Change{
		Ops: []once.Op{e.putOp(false, pos, once.Condition{
			Text:   "#following = :true",
			Names:  map[string]string{"#following": attrFollowing},
			Values: dynamo.Item{":true": dynamo.Bool(true)},
		})},
		Adds: []once.Add{addTo(e.author, attrFollowers, -1)},
	}
}

// raisePosition is the change of an edge that is already in the event's state.
func (e edge) raisePosition(following bool, pos events.Position) once.Change {
	return once.Change{Ops: []once.Op{e.putOp(following, pos, isEarlier(following, pos))}}
}

func (e edge) putOp(following bool, pos events.Position, c once.Condition) once.Op {
	key := once.KeyOf(readmodel.PrefixUser+e.follower, prefixEdge+e.author)
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
