package profile

import (
	"errors"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
)

// Profile is what others see of a user.
type Profile struct {
	UserID    string
	Name, Bio string
	Joined    time.Time // zero while the user.joined is on its way
	Followers int64
	Following int64
	Posts     int64
}

// User is what the table tells about one user.
type User struct {
	Profile
	Applied events.Position // the watermark
}

// State is what the table tells, by user.
type State map[string]User

// Fold is the specification of the read model: what the table must hold when
// each of the given events was applied once. It takes them in any order and any
// number of times. Not safe for concurrent use.
type Fold struct {
	names   map[string]foldedName
	joined  map[string]foldedJoin
	edges   map[edge]foldedEdge
	posts   map[string]map[string]bool // by author
	applied map[string]events.Position
}

type foldedName struct {
	name, bio string
	version   int64
	pos       events.Position
}

type foldedJoin struct {
	at  time.Time
	pos events.Position
}

type foldedEdge struct {
	following bool
	pos       events.Position
}

// NewFold starts from nothing.
func NewFold() *Fold {
	return &Fold{
		names: map[string]foldedName{}, joined: map[string]foldedJoin{}, edges: map[edge]foldedEdge{},
		posts: map[string]map[string]bool{}, applied: map[string]events.Position{},
	}
}

// Apply takes in one event. It fails for a payload that cannot be read, which a
// consumer would park.
func (f *Fold) Apply(m consumers.Message) error {
	payload, err := social.Registry().Decode(m.Event)
	if err != nil && !errors.Is(err, events.ErrUnknownType) {
		return fmt.Errorf("profile: fold: %w", err)
	}
	if user := m.Event.PartitionKey; f.applied[user].Before(m.Position) {
		f.applied[user] = m.Position
	}
	switch p := payload.(type) {
	case social.UserJoined:
		f.rename(p.UserID, foldedName{p.Name, "", 0, m.Position})
		f.join(p.UserID, foldedJoin{p.JoinedAt, m.Position})
	case social.UserProfileUpdated:
		f.rename(p.UserID, foldedName{p.Name, p.Bio, p.Version, m.Position})
	case social.RelationshipFollowed:
		f.mark(edge{p.FollowerID, p.FolloweeID}, foldedEdge{true, m.Position})
	case social.RelationshipUnfollowed:
		f.mark(edge{p.FollowerID, p.FolloweeID}, foldedEdge{false, m.Position})
	case social.PostPublished:
		f.publish(p.AuthorID, p.PostID)
	}
	return nil
}

func (f *Fold) rename(user string, n foldedName) {
	old, ok := f.names[user]
	if !ok || old.version < n.version || old.version == n.version && old.pos.Before(n.pos) {
		f.names[user] = n
	}
}

func (f *Fold) join(user string, j foldedJoin) {
	if old, ok := f.joined[user]; !ok || j.pos.Before(old.pos) {
		f.joined[user] = j
	}
}

func (f *Fold) mark(e edge, now foldedEdge) {
	if old, ok := f.edges[e]; !ok || old.pos.Before(now.pos) {
		f.edges[e] = now
	}
}

func (f *Fold) publish(author, post string) {
	if f.posts[author] == nil {
		f.posts[author] = map[string]bool{}
	}
	f.posts[author][post] = true
}

// State is what the events so far amount to.
func (f *Fold) State() State {
	s := State{}
	change := func(user string, change func(*User)) {
		u := s[user]
		u.UserID = user
		change(&u)
		s[user] = u
	}
	for user, pos := range f.applied {
		change(user, func(u *User) {
			n := f.names[user]
			u.Name, u.Bio, u.Joined, u.Applied = n.name, n.bio, f.joined[user].at, pos
			u.Posts = int64(len(f.posts[user]))
		})
	}
	for e, state := range f.edges {
		if state.following && e.follower != e.author {
			change(e.follower, func(u *User) { u.Following++ })
			change(e.author, func(u *User) { u.Followers++ })
		}
	}
	return s
}
