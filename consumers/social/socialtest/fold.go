// Package socialtest is the specification of the example's read models, for tests and
// for the audit of the demo; no function has it.
//
// A [Fold] computes in memory what the tables must hold after given events.
// [SnapshotProfiles] and [SnapshotTimelines] read tables into memory, which is for
// checks only, and [DiffProfiles] and [DiffTimelines] compare. A watermark ahead of the
// fold is no difference: a publisher may have put an event on the stream twice and know
// one position only.
package socialtest

import (
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/social/profile"
	"github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
)

// Fold is what each of the given events, applied once, amounts to. They may come in any
// order and any number of times. Not safe for concurrent use.
type Fold struct {
	names   map[string]name
	joined  map[string]joined
	edges   map[edge]following
	posts   map[string]map[string]timeline.Entry // by author and id
	deleted map[[2]string]bool                   // posts, by author and id
	left    map[string]bool                      // users
	applied map[string]events.Position
}

type name struct {
	name, bio string
	version   int64
	pos       events.Position
}

type joined struct {
	event social.UserJoined
	pos   events.Position
}

type edge struct{ follower, author string }

type following struct {
	now bool
	pos events.Position
}

// NewFold starts from nothing.
func NewFold() *Fold {
	return &Fold{
		names: map[string]name{}, joined: map[string]joined{}, edges: map[edge]following{},
		posts: map[string]map[string]timeline.Entry{}, deleted: map[[2]string]bool{}, left: map[string]bool{},
		applied: map[string]events.Position{},
	}
}

// Apply applies one event. A user who left and a post that was deleted never come back. It fails for one that a consumer would refuse. Types that
// are not in the registry only raise the watermark.
func (f *Fold) Apply(m consumers.Message) error {
	payload, err := social.Registry().Decode(m.Event)
	if err != nil && !errors.Is(err, events.ErrUnknownType) {
		return err
	}
	if user := m.Event.PartitionKey; f.applied[user].Before(m.Position) {
		f.applied[user] = m.Position
	}
	switch p := payload.(type) {
	case social.UserJoined:
		f.rename(p.UserID, name{p.Name, "", 0, m.Position})
		if old, ok := f.joined[p.UserID]; !ok || m.Position.Before(old.pos) {
			f.joined[p.UserID] = joined{p, m.Position}
		}
	case social.UserProfileUpdated:
		f.rename(p.UserID, name{p.Name, p.Bio, p.Version, m.Position})
	case social.RelationshipFollowed:
		f.setEdge(edge{p.FollowerID, p.FolloweeID}, following{true, m.Position})
	case social.RelationshipUnfollowed:
		f.setEdge(edge{p.FollowerID, p.FolloweeID}, following{false, m.Position})
	case social.UserLeft:
		f.left[p.UserID] = true
		f.rename(p.UserID, name{version: math.MaxInt64})
	case social.PostDeleted:
		f.deleted[[2]string{p.AuthorID, p.PostID}] = true
		delete(f.posts[p.AuthorID], p.PostID)
	case social.PostPublished:
		f.addPost(timeline.Entry{PostID: p.PostID, AuthorID: p.AuthorID, Text: p.Text, PublishedAt: p.PublishedAt})
	}
	return nil
}

func (f *Fold) rename(user string, n name) {
	old, ok := f.names[user]
	if !ok || old.version < n.version || old.version == n.version && old.pos.Before(n.pos) {
		f.names[user] = n
	}
}

func (f *Fold) setEdge(e edge, now following) {
	if old, ok := f.edges[e]; !ok || old.pos.Before(now.pos) {
		f.edges[e] = now
	}
}

func (f *Fold) addPost(e timeline.Entry) {
	if f.deleted[[2]string{e.AuthorID, e.PostID}] {
		return
	}
	if f.posts[e.AuthorID] == nil {
		f.posts[e.AuthorID] = map[string]timeline.Entry{}
	}
	if _, ok := f.posts[e.AuthorID][e.PostID]; !ok {
		f.posts[e.AuthorID][e.PostID] = e
	}
}

// eachFollow calls do for whoever follows somebody else now, and has not left.
func (f *Fold) eachFollow(do func(edge)) {
	for e, state := range f.edges {
		if state.now && e.follower != e.author && !f.left[e.follower] {
			do(e)
		}
	}
}

// Profiles is what the table of package profile must hold.
func (f *Fold) Profiles() Profiles {
	all := Profiles{}
	change := func(user string, change func(*Profile)) {
		p := all[user]
		p.UserID = user
		change(&p)
		all[user] = p
	}
	for user, pos := range f.applied {
		change(user, func(p *Profile) {
			n := f.names[user]
			p.Profile = profile.Profile{UserID: user, Name: n.name, Bio: n.bio, Posts: int64(len(f.posts[user]))}
			if j, ok := f.joined[user]; ok {
				p.Joined = j.event.JoinedAt
			}
			p.Applied = pos
		})
	}
	f.eachFollow(func(e edge) {
		change(e.follower, func(p *Profile) { p.Following++ })
		change(e.author, func(p *Profile) { p.Followers++ })
	})
	for user := range f.left {
		change(user, func(p *Profile) { p.Profile = profile.Profile{UserID: user, Left: true} })
	}
	return all
}

// Timelines is what the table of package timeline must hold, with limit entries for
// each user at most; 0: [timeline.DefaultCap].
func (f *Fold) Timelines(limit int) Timelines {
	authors := map[string][]string{} // whose posts a user sees
	sees := func(user, author string) {
		if !f.left[user] && !f.left[author] {
			authors[user] = append(authors[user], author)
		}
	}
	for author := range f.posts {
		sees(author, author)
	}
	f.eachFollow(func(e edge) { sees(e.follower, e.author) })
	all := Timelines{}
	for user, pos := range f.applied {
		t := Timeline{Name: f.names[user].name, Applied: pos}
		for _, author := range authors[user] {
			for _, e := range f.posts[author] {
				t.Entries = append(t.Entries, e)
			}
		}
		t.Entries = newestFirst(t.Entries, limit)
		all[user] = t
	}
	return all
}

func newestFirst(entries []timeline.Entry, limit int) []timeline.Entry {
	if limit == 0 {
		limit = timeline.DefaultCap
	}
	slices.SortFunc(entries, func(a, b timeline.Entry) int { return strings.Compare(b.PostID, a.PostID) })
	return entries[:min(limit, len(entries))]
}
