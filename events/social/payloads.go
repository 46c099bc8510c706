package social

import (
	"fmt"
	"time"
)

// UserJoined says that a user opened an account.
type UserJoined struct {
	UserID   string    `json:"userId"`
	Name     string    `json:"name"`
	JoinedAt time.Time `json:"joinedAt"`
}

// EventType is "user.joined".
func (UserJoined) EventType() string { return "user.joined" }

// EventVersion is 1.
func (UserJoined) EventVersion() int { return 1 }

// Subject is the user.
func (p UserJoined) Subject() string { return "user/" + p.UserID }

// PartitionKey is the user's id.
func (p UserJoined) PartitionKey() string { return p.UserID }

// UserProfileUpdated says that a user changed what others see of them. It carries the
// whole new profile, not the difference.
type UserProfileUpdated struct {
	UserID string `json:"userId"`
	Name   string `json:"name"`
	Bio    string `json:"bio"`
	// Version is the version of the user's document after the change; it grows
	// with each.
	Version int64 `json:"version"`
}

// EventType is "user.profile-updated".
func (UserProfileUpdated) EventType() string { return "user.profile-updated" }

// EventVersion is 1.
func (UserProfileUpdated) EventVersion() int { return 1 }

// Subject is the user.
func (p UserProfileUpdated) Subject() string { return "user/" + p.UserID }

// PartitionKey is the user's id.
func (p UserProfileUpdated) PartitionKey() string { return p.UserID }

// UserLeft says that a user closed the account. The id is never used again: whatever else
// is delivered of this user, before or after, no longer counts, their posts included, for
// which there is no post.deleted.
type UserLeft struct {
	UserID string    `json:"userId"`
	At     time.Time `json:"at"`
}

// EventType is "user.left".
func (UserLeft) EventType() string { return "user.left" }

// EventVersion is 1.
func (UserLeft) EventVersion() int { return 1 }

// Subject is the user.
func (p UserLeft) Subject() string { return "user/" + p.UserID }

// PartitionKey is the user's id.
func (p UserLeft) PartitionKey() string { return p.UserID }

// RelationshipFollowed says that the follower wants to see what the followee posts.
type RelationshipFollowed struct {
	FollowerID string    `json:"followerId"`
	FolloweeID string    `json:"followeeId"`
	At         time.Time `json:"at"`
}

// EventType is "relationship.followed".
func (RelationshipFollowed) EventType() string { return "relationship.followed" }

// EventVersion is 1.
func (RelationshipFollowed) EventVersion() int { return 1 }

// Subject is the relationship, follower first.
func (p RelationshipFollowed) Subject() string { return relationship(p.FollowerID, p.FolloweeID) }

// PartitionKey is the follower's id: the acting user's.
func (p RelationshipFollowed) PartitionKey() string { return p.FollowerID }

// Validate requires the followee's id.
func (p RelationshipFollowed) Validate() error { return required("followeeId", p.FolloweeID) }

// RelationshipUnfollowed says that the follower no longer wants to.
type RelationshipUnfollowed struct {
	FollowerID string    `json:"followerId"`
	FolloweeID string    `json:"followeeId"`
	At         time.Time `json:"at"`
}

// EventType is "relationship.unfollowed".
func (RelationshipUnfollowed) EventType() string { return "relationship.unfollowed" }

// EventVersion is 1.
func (RelationshipUnfollowed) EventVersion() int { return 1 }

// Subject is the relationship, follower first.
func (p RelationshipUnfollowed) Subject() string { return relationship(p.FollowerID, p.FolloweeID) }

// PartitionKey is the follower's id: the acting user's.
func (p RelationshipUnfollowed) PartitionKey() string { return p.FollowerID }

// Validate requires the followee's id.
func (p RelationshipUnfollowed) Validate() error { return required("followeeId", p.FolloweeID) }

func relationship(follower, followee string) string {
	return "relationship/" + follower + "/" + followee
}

// PostPublished says that an author wrote something for their followers.
type PostPublished struct {
	// PostID is a UUIDv7 or an ObjectId in hex; for one author its text order is
	// the order of publication.
	PostID      string    `json:"postId"`
	AuthorID    string    `json:"authorId"`
	Text        string    `json:"text"`
	PublishedAt time.Time `json:"publishedAt"`
}

// EventType is "post.published".
func (PostPublished) EventType() string { return "post.published" }

// EventVersion is 1.
func (PostPublished) EventVersion() int { return 1 }

// Subject is the post.
func (p PostPublished) Subject() string { return "post/" + p.PostID }

// PartitionKey is the author's id.
func (p PostPublished) PartitionKey() string { return p.AuthorID }

// Validate requires the post's id.
func (p PostPublished) Validate() error { return required("postId", p.PostID) }

// PostDeleted says that the author took a post back. The id is never used again: a
// post.published that is delivered later no longer counts.
type PostDeleted struct {
	PostID   string    `json:"postId"`
	AuthorID string    `json:"authorId"`
	At       time.Time `json:"at"`
}

// EventType is "post.deleted".
func (PostDeleted) EventType() string { return "post.deleted" }

// EventVersion is 1.
func (PostDeleted) EventVersion() int { return 1 }

// Subject is the post.
func (p PostDeleted) Subject() string { return "post/" + p.PostID }

// PartitionKey is the author's id, so that the deletion comes after the post.
func (p PostDeleted) PartitionKey() string { return p.AuthorID }

// Validate requires the post's id.
func (p PostDeleted) Validate() error { return required("postId", p.PostID) }

func required(member, value string) error {
	if value == "" {
		return fmt.Errorf("%s is empty", member)
	}
	return nil
}
