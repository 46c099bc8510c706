package timeline

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
)

// State is what the table tells, by user.
type State map[string]Timeline

// Timeline is what the table tells about one user.
type Timeline struct {
	Name    string
	Applied events.Position // the watermark
	Entries []Entry         // newest first, at most the cap
	// Floor is the newest post that the cap cut off, in a snapshot.
	Floor string
}

// Fold is the specification of the read model: what the table must hold when
// each of the given events was applied once. It takes them in any order and any
// number of times. Not safe for concurrent use.
type Fold struct {
	limit   int
	names   map[string]foldedName
	edges   map[edge]foldedEdge
	posts   map[string]map[string]Entry // by author and id
	applied map[string]events.Position
}

type foldedName struct {
	name    string
	version int64
	pos     events.Position
}

type edge struct{ follower, author string }

type foldedEdge struct {
	following bool
	pos       events.Position
}

// NewFold starts from nothing. A limit of 0 is [DefaultCap].
func NewFold(limit int) *Fold {
	if limit == 0 {
		limit = DefaultCap
	}
	return &Fold{
		limit: limit, names: map[string]foldedName{}, edges: map[edge]foldedEdge{},
		posts: map[string]map[string]Entry{}, applied: map[string]events.Position{},
	}
}

// Apply takes in one event. It fails for a payload that cannot be read, which a
// consumer would park.
func (f *Fold) Apply(m consumers.Message) error {
	user := m.Event.PartitionKey
	payload, err := social.Registry().Decode(m.Event)
	if err != nil && !errors.Is(err, events.ErrUnknownType) {
		return fmt.Errorf("timeline: fold: %w", err)
	}
	if f.applied[user].Before(m.Position) {
		f.applied[user] = m.Position
	}
	switch p := payload.(type) {
	case social.UserJoined:
		f.rename(p.UserID, foldedName{p.Name, 0, m.Position})
	case social.UserProfileUpdated:
		f.rename(p.UserID, foldedName{p.Name, p.Version, m.Position})
	case social.RelationshipFollowed:
		f.mark(edge{p.FollowerID, p.FolloweeID}, foldedEdge{true, m.Position})
	case social.RelationshipUnfollowed:
		f.mark(edge{p.FollowerID, p.FolloweeID}, foldedEdge{false, m.Position})
	case social.PostPublished:
		f.publish(Entry{p.PostID, p.AuthorID, p.Text, p.PublishedAt})
	}
	return nil
}

func (f *Fold) rename(user string, n foldedName) {
	old, ok := f.names[user]
	if !ok || old.version < n.version || old.version == n.version && old.pos.Before(n.pos) {
		f.names[user] = n
	}
}

func (f *Fold) mark(e edge, now foldedEdge) {
	if old, ok := f.edges[e]; !ok || old.pos.Before(now.pos) {
		f.edges[e] = now
	}
}

func (f *Fold) publish(e Entry) {
	if f.posts[e.AuthorID] == nil {
		f.posts[e.AuthorID] = map[string]Entry{}
	}
	if _, ok := f.posts[e.AuthorID][e.PostID]; !ok {
		f.posts[e.AuthorID][e.PostID] = e
	}
}

// State is what the events so far amount to.
func (f *Fold) State() State {
	authors := map[string][]string{} // whose posts a user sees
	for author := range f.posts {
		authors[author] = append(authors[author], author)
	}
	for e, state := range f.edges {
		if state.following && e.follower != e.author {
			authors[e.follower] = append(authors[e.follower], e.author)
		}
	}
	s := State{}
	for user, pos := range f.applied {
		s[user] = Timeline{Name: f.names[user].name, Applied: pos, Entries: f.entries(authors[user])}
	}
	return s
}

func (f *Fold) entries(authors []string) []Entry {
	var all []Entry
	for _, author := range authors {
		for _, e := range f.posts[author] {
			all = append(all, e)
		}
	}
	return newestFirst(all, f.limit)
}

func newestFirst(entries []Entry, limit int) []Entry {
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(b.PostID, a.PostID) })
	return entries[:min(limit, len(entries))]
}
