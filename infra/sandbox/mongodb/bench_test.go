package mongodb_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
)

// BenchmarkDemo is what the demo asks for, with 100,000 users and posts.
func BenchmarkDemo(b *testing.B) {
	s, err := mongodb.Start(mongodb.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	c, err := mongo.Connect(options.Client().ApplyURI(s.URI()))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Disconnect(b.Context())
	posts, users := c.Database("d").Collection("posts"), c.Database("d").Collection("users")
	fill(b, posts, users)
	b.Run("insert", func(b *testing.B) {
		for i := range b.N {
			if _, err := posts.InsertOne(b.Context(), bson.D{{Key: "author", Value: i % 1000}, {Key: "at", Value: time.Now()},
				{Key: "text", Value: "hello"}}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("find by id", func(b *testing.B) {
		for i := range b.N {
			if err := users.FindOne(b.Context(), bson.D{{Key: "_id", Value: i % 100_000}}).Err(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("timeline", func(b *testing.B) {
		opts := options.Find().SetSort(bson.D{{Key: "at", Value: -1}}).SetLimit(20)
		for range b.N {
			in := bson.A{}
			for range 50 {
				in = append(in, rand.IntN(1000))
			}
			cur, err := posts.Find(b.Context(), bson.D{{Key: "author", Value: bson.D{{Key: "$in", Value: in}}}}, opts)
			if err != nil || cur.RemainingBatchLength() != 20 {
				b.Fatal(err)
			}
		}
	})
	b.Run("scan of all", func(b *testing.B) {
		for range b.N {
			if n, err := users.CountDocuments(b.Context(), bson.D{{Key: "n", Value: bson.D{{Key: "$gte", Value: 0}}}}); err != nil || n != 100_000 {
				b.Fatal(n, err)
			}
		}
	})
}

func fill(b *testing.B, posts, users *mongo.Collection) {
	b.Helper()
	if _, err := posts.Indexes().CreateOne(b.Context(), mongo.IndexModel{Keys: bson.D{{Key: "author", Value: 1}, {Key: "at", Value: -1}}}); err != nil {
		b.Fatal(err)
	}
	for batch := range 100 {
		var p, u []any
		for i := range 1000 {
			n := batch*1000 + i
			p = append(p, bson.D{{Key: "author", Value: n % 1000}, {Key: "at", Value: time.Unix(int64(n), 0)}, {Key: "text", Value: "some text of a post"}})
			u = append(u, bson.D{{Key: "_id", Value: n}, {Key: "n", Value: n}, {Key: "name", Value: "somebody"}})
		}
		if _, err := posts.InsertMany(b.Context(), p); err != nil {
			b.Fatal(err)
		}
		if _, err := users.InsertMany(b.Context(), u); err != nil {
			b.Fatal(err)
		}
	}
}
