package monolith

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/infra/mongoerr"
)

// GeneratedPassword is the password of every generated user, and generatedHash its
// bcrypt hash of the least cost, made once: hashing for each would take longer
// than all the rest.
const (
	GeneratedPassword = "banyan-fig"
	generatedHash     = "$2a$04$n7Bm7nOhr1ZTPGCkvsGj2uSiFliV7Q1qDVwwMJ4q3uFCBHqn1.hwS"
)

// GenerateConfig says how much to generate. Zero is zero, but for Users.
type GenerateConfig struct {
	// Users is required.
	Users int
	// FollowsPerUser and PostsPerUser are averages: of 0.3, every third or fourth
	// user has one. Nobody follows more than all others.
	FollowsPerUser, PostsPerUser float64
	// Seed makes the same data again.
	Seed uint64
	// Progress is called now and then with how many of how many users are done.
	Progress func(done, of int)
}

// Validate reports what cannot work.
func (c GenerateConfig) Validate() error {
	switch {
	case c.Users < 1 || c.Users > 50_000_000:
		return fmt.Errorf("generate: users must be 1 to 50000000, not %d", c.Users)
	case !(c.FollowsPerUser >= 0 && c.FollowsPerUser <= 1000 && c.PostsPerUser >= 0 && c.PostsPerUser <= 1000):
		return errors.New("generate: follows and posts per user must be 0 to 1000")
	}
	return nil
}

// Generated counts what Generate made, and what existed already.
type Generated struct {
	Users   int64 `json:"users"`
	Follows int64 `json:"follows"`
	Posts   int64 `json:"posts"`
}

// generated data begins here and comes in these steps.
var (
	epochOfUsers = time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC)
	epochOfPosts = time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)
)

const (
	generateChunk   = 1000 // users made at once by one worker
	generateWorkers = 3
)

// Generate fills an empty database with made-up users, follows and posts, the same
// for the same config. Running it again changes nothing.
func Generate(ctx context.Context, db Database, cfg GenerateConfig) (Generated, error) {
	if err := cfg.Validate(); err != nil {
		return Generated{}, err
	}
	if err := errors.Join(makeEmailsUnique(ctx, db), ensureIndexes(ctx, db)); err != nil {
		return Generated{}, err
	}
	var mu sync.Mutex
	var sum Generated
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(generateWorkers)
	for n := range (cfg.Users + generateChunk - 1) / generateChunk {
		workers.Go(func() error {
			made, err := generateChunkOf(ctx, db, cfg, n)
			mu.Lock()
			defer mu.Unlock()
			sum.add(made)
			if cfg.Progress != nil && err == nil {
				cfg.Progress(int(sum.Users), cfg.Users)
			}
			return err
		})
	}
	err := workers.Wait()
	return sum, err
}

func (g *Generated) add(more Generated) {
	g.Users, g.Follows, g.Posts = g.Users+more.Users, g.Follows+more.Follows, g.Posts+more.Posts
}

// generateChunkOf makes the users of one chunk with all that is theirs. Each chunk
// has its own randomness, so that chunks can be made in any order.
func generateChunkOf(ctx context.Context, db Database, cfg GenerateConfig, n int) (Generated, error) {
	rng := rand.New(rand.NewPCG(cfg.Seed, uint64(n)))
	from, to := n*generateChunk, min((n+1)*generateChunk, cfg.Users)
	var users, follows, posts []any
	for i := from; i < to; i++ {
		users = append(users, generatedUser(cfg.Seed, i))
		follows = append(follows, generatedFollows(rng, cfg, i)...)
		posts = append(posts, generatedPosts(rng, cfg, i)...)
	}
	for _, load := range []struct {
		collection string
		docs       []any
	}{{usersCollection, users}, {followsCollection, follows}, {postsCollection, posts}} {
		if err := insertNew(ctx, db, load.collection, load.docs); err != nil {
			return Generated{}, err
		}
	}
	return Generated{Users: int64(len(users)), Follows: int64(len(follows)), Posts: int64(len(posts))}, nil
}

// insertNew inserts the documents that do not exist yet.
func insertNew(ctx context.Context, db Database, collection string, docs []any) error {
	refused, err := insertAll(ctx, db, collection, docs)
	for _, why := range refused {
		if why.Code != mongoerr.DuplicateKey {
			return fmt.Errorf("insert into %s: %s", collection, why.Message)
		}
	}
	return err
}

// objectID makes an id of a time, the seed and a number.
func objectID(at time.Time, seed uint64, n int) bson.ObjectID {
	var id bson.ObjectID
	binary.BigEndian.PutUint32(id[:4], uint32(at.Unix()))
	binary.BigEndian.PutUint64(id[4:], seed<<40|uint64(n))
	return id
}

func generatedUserID(seed uint64, i int) bson.ObjectID {
	return objectID(epochOfUsers.Add(time.Duration(i)*time.Second), seed, i)
}

func generatedUser(seed uint64, i int) bson.D {
	first, last := firstNames[i%len(firstNames)], lastNames[i/len(firstNames)%len(lastNames)]
	d := bson.D{
		{Key: "_id", Value: generatedUserID(seed, i)},
		{Key: "name", Value: first + " " + last},
		{Key: "email", Value: fmt.Sprintf("user%d@seed%d.example.org", i, seed)},
		{Key: "password", Value: generatedHash},
	}
	if i%3 == 0 {
		d = append(d, bson.E{Key: "bio", Value: first + " since " + epochOfUsers.Add(time.Duration(i)*time.Second).Format("January 2006")})
	}
	return d
}

// share is how many of an average user i gets, so that all together get it.
func share(average float64, i int) int {
	return int(average*float64(i+1)) - int(average*float64(i))
}

// generatedFollows favours low numbers, so that some have many followers.
func generatedFollows(rng *rand.Rand, cfg GenerateConfig, i int) []any {
	want := min(share(cfg.FollowsPerUser, i), cfg.Users-1)
	me, seen, docs := generatedUserID(cfg.Seed, i).Hex(), map[int]bool{i: true}, make([]any, 0, want)
	for len(docs) < want {
		other := min(rng.IntN(cfg.Users), rng.IntN(cfg.Users))
		for seen[other] {
			other = (other + 1) % cfg.Users
		}
		seen[other] = true
		them := generatedUserID(cfg.Seed, other).Hex()
		docs = append(docs, followDoc{
			ID: me + ":" + them, Follower: me, Followee: them,
			At: epochOfPosts.Add(-time.Duration(rng.IntN(86400*365)) * time.Second),
		})
	}
	return docs
}

func generatedPosts(rng *rand.Rand, cfg GenerateConfig, i int) []any {
	me, count := generatedUserID(cfg.Seed, i).Hex(), share(cfg.PostsPerUser, i)
	docs := make([]any, 0, count)
	for k := range count {
		// a second of its own for each post of a user, so that ids are in the order
		// of time
		at := epochOfPosts.Add(time.Duration(k*86400+rng.IntN(86400)) * time.Second)
		docs = append(docs, postDoc{
			ID: objectID(at, cfg.Seed, i*1024+k), Author: me, At: at,
			Text: fmt.Sprintf("%s %s, post %d", subjects[rng.IntN(len(subjects))], verbs[rng.IntN(len(verbs))], k+1),
		})
	}
	return docs
}

var (
	firstNames = []string{"Ada", "Bela", "Chidi", "Dana", "Emre", "Fatou", "Goro", "Hana",
		"Ilse", "Jun", "Kofi", "Lena", "Mira", "Nils",
		"Olga", "Pia", "Quim", "Rosa", "Sven", "Tala"}
	lastNames = []string{"Abara", "Berg", "Castro", "Dubois", "Eze", "Fischer", "Garcia",
		"Haddad", "Ito", "Jansen", "Kaya", "Lund", "Mensah", "Novak", "Okafor",
		"Petrov", "Rossi", "Sato", "Turan", "Weiss", "Yilmaz"}
	subjects = []string{"The fig tree", "My old bicycle", "This city", "The neighbour's cat", "A cup of tea", "The night train"}
	verbs    = []string{"surprises me again", "is better than it looks", "kept me awake", "deserves a song", "changed since last year"}
)
