package migrate_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	dynamodbserver "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	mongodbserver "github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/verify"
)

const theaters = `
entity: theaters
source: {collection: theaters}
target:
  table: theaters
  key: {type: int64}
`

// A program of your own can migrate too: parse a plan, encapsulate, copy, and compare.
func Example() {
	ctx := context.Background()
	source, err := mongodbserver.Start(mongodbserver.Config{}) // a MongoDB
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = source.Close() }()
	aws := httptest.NewServer(dynamodbserver.New(dynamodbserver.Config{})) // a DynamoDB
	defer aws.Close()
	dial := func(application, host string, dialer options.ContextDialer) (*mongo.Client, error) {
		o := options.Client().ApplyURI(source.URI()).SetAppName(application)
		if host != "" {
			o.SetHosts([]string{host}).SetDirect(true)
		}
		if dialer != nil {
			o.SetDialer(dialer)
		}
		return mongo.Connect(o)
	}
	client, err := dial("theaters", "", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Disconnect(ctx) }()
	for id := range int64(3) {
		if _, err := client.Database("shop").Collection("theaters").InsertOne(ctx, bson.D{{Key: "_id", Value: id}}); err != nil {
			fmt.Println(err)
			return
		}
	}

	entity, err := plan.Parse("theaters.yaml", []byte(theaters))
	if err != nil {
		fmt.Println(err) // names the line, the column and what to write
		return
	}
	sdk := awssdk.Config{Region: "us-east-1", BaseEndpoint: &aws.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}
	engine, err := migrate.New(migrate.Config{
		Plan: entity, Mongo: client, Dial: dial, Database: "shop",
		DynamoDB: dynamodb.NewFromConfig(sdk), Streams: dynamodbstreams.NewFromConfig(sdk),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err = engine.Init(ctx); err == nil {
		_, err = engine.Encapsulate(ctx, migrate.EncapsulateOptions{Watch: time.Millisecond, NoMembers: true, AcceptUnseen: true, AcceptGap: true})
	}
	if err == nil {
		err = engine.Run(ctx, migrate.RunOptions{UntilShadowing: true})
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := engine.Verify(ctx, verify.Options{Report: func(m side.Mismatch) { fmt.Println(m.ID, m.Kind) }})
	fmt.Println(v.Documents, "documents,", v.Mismatches, "mismatches", err)
	// Output: 3 documents, 0 mismatches <nil>
}
