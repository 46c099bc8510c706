package social

import (
	"time"

	"github.com/banyan-fig/banyan/events"
)

var registry = newRegistry()

// Registry has every version of every type that the company ever published. None
// is ever removed: the events stay on the stream, in archives and in dead letters.
func Registry() *events.Registry { return registry }

func newRegistry() *events.Registry {
	noon := time.Date(2016, 11, 21, 12, 0, 0, 0, time.UTC)
	const ada, bob = "59b99db4cfa9a34dcd7885b6", "59b99db5cfa9a34dcd7885b7"
	const post = "0158864a-9a00-7000-8000-000000000001"
	return events.MustRegistry(
		events.Define(UserJoined{UserID: ada, Name: "Ada", JoinedAt: noon}, "the user's id"),
		events.Define(UserProfileUpdated{UserID: ada, Name: "Ada L.", Bio: "writes programs", Version: 2}, "the user's id"),
		events.Define(UserLeft{UserID: ada, At: noon}, "the user's id"),
		events.Define(RelationshipFollowed{FollowerID: ada, FolloweeID: bob, At: noon}, "the follower's id"),
		events.Define(RelationshipUnfollowed{FollowerID: ada, FolloweeID: bob, At: noon}, "the follower's id"),
		events.Define(PostPublished{PostID: post, AuthorID: ada, Text: "hello", PublishedAt: noon}, "the author's id"),
		events.Define(PostDeleted{PostID: post, AuthorID: ada, At: noon}, "the author's id"),
	)
}
