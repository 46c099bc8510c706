package streamtest

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/aggregate"
	"github.com/banyan-fig/banyan/events/social"
)

// Start is the time at which every world begins.
var Start = time.Date(2016, 11, 21, 9, 0, 0, 0, time.UTC)

// Size says how big a world is.
type Size struct{ Users, Events, Shards int }

// World is what users did, in the order they did it, and the shards with the events of
// it.
type World struct {
	Users    []string
	Shards   [][]awsevents.KinesisEventRecord
	Messages []consumers.Message // every event of the shards, with duplicates
	follows  map[string]map[string]bool
	posts    map[string][]string // by author
	names    map[string]string
	left     map[string]bool

	t       testing.TB
	random  *rand.Rand
	factory events.Factory
	pending [][]events.Event // by shard, not yet in a record
	number  int              // of the last record
	version map[string]int64
	clock   time.Time
}

// NewWorld lets users act at random.
func NewWorld(t testing.TB, seed uint64, size Size) *World {
	w := &World{
		t: t, random: rand.New(rand.NewPCG(seed, 1)), clock: Start,
		Shards: make([][]awsevents.KinesisEventRecord, size.Shards), pending: make([][]events.Event, size.Shards),
		follows: map[string]map[string]bool{}, posts: map[string][]string{},
		names: map[string]string{}, left: map[string]bool{}, version: map[string]int64{},
	}
	w.factory = events.Factory{Now: func() time.Time { return w.clock }}
	for i := range size.Users {
		user := fmt.Sprintf("%024x", i+1)
		w.Users = append(w.Users, user)
		w.follows[user] = map[string]bool{}
	}
	for _, i := range w.random.Perm(size.Users) { // some act before they join
		if w.random.IntN(4) > 0 {
			w.join(w.Users[i])
		}
	}
	for range size.Events {
		w.act()
	}
	for shard := range w.pending {
		w.flush(shard)
	}
	return w
}

func (w *World) act() {
	user := w.Users[w.random.IntN(len(w.Users))]
	other := w.Users[w.random.IntN(1+w.random.IntN(len(w.Users)))] // the first are popular
	switch n := w.random.IntN(100); {
	case w.left[user]: // who may be followed still
	case n < 35:
		w.Post(user)
	case n < 60:
		w.follow(user, other)
	case n < 80:
		w.unfollow(user, other)
	case n < 90:
		w.deletePost(user)
	case n < 98:
		w.rename(user)
	default:
		w.leave(user)
	}
}

func (w *World) join(user string) {
	w.names[user] = "Name of " + user[20:]
	w.publish(social.UserJoined{UserID: user, Name: w.names[user], JoinedAt: w.clock})
}

func (w *World) rename(user string) {
	w.version[user]++
	w.names[user] = fmt.Sprintf("Name %d of %s", w.version[user], user[20:])
	w.publish(social.UserProfileUpdated{UserID: user, Name: w.names[user], Bio: "since then", Version: w.version[user]})
}

func (w *World) follow(user, other string) {
	w.follows[user][other] = true
	w.publish(social.RelationshipFollowed{FollowerID: user, FolloweeID: other, At: w.clock})
}

func (w *World) unfollow(user, other string) {
	delete(w.follows[user], other)
	w.publish(social.RelationshipUnfollowed{FollowerID: user, FolloweeID: other, At: w.clock})
}

// Post lets a user publish something.
func (w *World) Post(user string) {
	id := fmt.Sprintf("%08x-0000-7000-8000-%s", w.clock.Sub(Start).Milliseconds(), user[12:])
	w.posts[user] = append(w.posts[user], id)
	w.publish(social.PostPublished{PostID: id, AuthorID: user, Text: "post " + id, PublishedAt: w.clock})
}

// deletePost lets a user take back one of their posts, as a rule a late one.
func (w *World) deletePost(user string) {
	posts := w.posts[user]
	if len(posts) == 0 {
		return
	}
	i := max(w.random.IntN(len(posts)), w.random.IntN(len(posts)))
	id := posts[i]
	w.posts[user] = slices.Delete(posts, i, i+1)
	w.publish(social.PostDeleted{PostID: id, AuthorID: user, At: w.clock})
}

func (w *World) leave(user string) {
	w.left[user], w.names[user], w.posts[user], w.follows[user] = true, "", nil, map[string]bool{}
	w.publish(social.UserLeft{UserID: user, At: w.clock})
}

// publish puts an event on its shard, alone or with others in one record.
func (w *World) publish(p events.Payload) {
	w.clock = w.clock.Add(time.Millisecond)
	e, err := w.factory.New(context.Background(), "/test", p)
	if err != nil {
		w.t.Fatal(err)
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(e.PartitionKey))
	shard := int(h.Sum32()) % len(w.Shards)
	w.pending[shard] = append(w.pending[shard], e)
	if w.random.IntN(3) == 0 {
		w.flush(shard)
	}
}

// flush writes what is pending as one record, sometimes twice, as a publisher does
// whose answer was lost.
func (w *World) flush(shard int) {
	if len(w.pending[shard]) == 0 {
		return
	}
	for range 1 + w.random.IntN(8)/7 {
		w.record(shard, w.pending[shard])
	}
	w.pending[shard] = nil
}

func (w *World) record(shard int, all []events.Event) {
	w.number++
	name := fmt.Sprintf("shardId-%012d", shard)
	r := awsevents.KinesisEventRecord{EventID: name + ":" + Sequence(w.number)}
	r.Kinesis.SequenceNumber = Sequence(w.number)
	r.Kinesis.PartitionKey = all[0].PartitionKey
	r.Kinesis.ApproximateArrivalTimestamp.Time = w.clock
	r.Kinesis.Data = Data(w.t, all...)
	w.Shards[shard] = append(w.Shards[shard], r)
	for sub, e := range all {
		w.Messages = append(w.Messages, consumers.Message{
			Event: e, Position: events.Position{Sequence: Sequence(w.number), Sub: sub}, Shard: name, Arrived: w.clock,
		})
	}
}

// Sequence is a sequence number as long as those of Kinesis.
func Sequence(n int) string { return fmt.Sprintf("4950%052d", n) }

// Data is the data of a record: one event as it is, several in an aggregate.
func Data(t testing.TB, all ...events.Event) []byte {
	var b aggregate.Builder
	var data []byte
	for _, e := range all {
		var err error
		if data, err = events.Encode(e); err != nil {
			t.Fatal(err)
		}
		b.Add(aggregate.Record{PartitionKey: e.PartitionKey, Data: data})
	}
	if len(all) == 1 {
		return data
	}
	return b.Append(nil)
}

// LegacyTimeline is what the monolith would answer: the posts of a user and of
// everyone they follow now, newest first. Whoever left has no posts and follows nobody.
func (w *World) LegacyTimeline(user string) []string {
	ids := slices.Clone(w.posts[user])
	for _, other := range w.followees(user) {
		ids = append(ids, w.posts[other]...)
	}
	slices.SortFunc(ids, func(a, b string) int { return strings.Compare(b, a) })
	return ids
}

// LegacyCounters are a user's followers, followees and posts; of a user who left, nothing.
func (w *World) LegacyCounters(user string) (followers, following, posts int) {
	if w.left[user] {
		return 0, 0, 0
	}
	for _, other := range w.Users {
		if other != user && w.follows[other][user] {
			followers++
		}
	}
	return followers, len(w.followees(user)), len(w.posts[user])
}

// LegacyName is the last name a user gave.
func (w *World) LegacyName(user string) string { return w.names[user] }

func (w *World) followees(user string) []string {
	others := maps.Clone(w.follows[user])
	delete(others, user)
	return slices.Sorted(maps.Keys(others))
}
