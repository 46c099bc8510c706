package outbox_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/outbox"
)

// The change and the event are one write: there is never one without the other.
func ExamplePush() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := mongo.Connect(options.Client().ApplyURI(os.Getenv("MONGODB_URI")))
	if err != nil {
		fmt.Println(err)
		return
	}
	users := client.Database("legacy").Collection("users")

	id := "59b99db4cfa9a34dcd7885b6"
	e, err := events.New(ctx, "/monolith", social.UserProfileUpdated{UserID: id, Name: "Ada L.", Version: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	update, err := outbox.Push(bson.D{{Key: "$set", Value: bson.D{{Key: "name", Value: "Ada L."}}}}, e)
	if err == nil {
		_, err = users.UpdateOne(ctx, bson.D{{Key: "_id", Value: id}}, update)
	}
	if err != nil {
		fmt.Println(err)
	}
}

// A deletion leaves no document that could carry the event: it is published in the same
// transaction.
func ExampleInTransaction() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := mongo.Connect(options.Client().ApplyURI(os.Getenv("MONGODB_URI")))
	if err != nil {
		fmt.Println(err)
		return
	}
	follows, waiting := client.Database("legacy").Collection("follows"), client.Database("legacy").Collection("outbox")

	err = outbox.InTransaction(ctx, client, func(ctx context.Context) error {
		e, err := events.New(ctx, "/monolith", social.RelationshipUnfollowed{FollowerID: "ada", FolloweeID: "bob", At: time.Now()})
		if err != nil {
			return err
		}
		if _, err := follows.DeleteOne(ctx, bson.D{{Key: "follower", Value: "ada"}, {Key: "followee", Value: "bob"}}); err != nil {
			return err
		}
		return outbox.Insert(ctx, waiting, e)
	})
	if err != nil {
		fmt.Println(err)
	}
}

// A relay runs until it is interrupted. Any number of them may run: one works.
func ExampleRelay() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	client, err := mongo.Connect(options.Client().ApplyURI(os.Getenv("MONGODB_URI")))
	if err != nil {
		fmt.Println(err)
		return
	}
	sdk, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	publisher, err := kinesis.New(ctx, kinesis.Config{Client: awskinesis.NewFromConfig(sdk), Stream: "banyan-events"})
	if err != nil {
		fmt.Println(err)
		return
	}
	relay, err := outbox.New(outbox.Config{
		Database:  client.Database("legacy"),
		Documents: []string{"users"},  // these carry events
		Outboxes:  []string{"outbox"}, // these are events
		Publisher: publisher,
		Log:       slog.Default(),
	})
	if err == nil {
		err = relay.Run(ctx)
	}
	if err != nil {
		fmt.Println(err)
	}
}
