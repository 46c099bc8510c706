package kinesis_test

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/publishers/kinesis"
)

// A program that tells one fact. Where it goes is in the environment, as for
// any user of the SDK: AWS_REGION, AWS_ENDPOINT_URL and credentials.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	sdk, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := kinesis.New(ctx, kinesis.Config{Client: awskinesis.NewFromConfig(sdk), Stream: "banyan-events"})
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := events.New(ctx, "/monolith", social.UserJoined{UserID: "59b99db4cfa9a34dcd7885b6", Name: "Ada", JoinedAt: time.Now()})
	if err == nil {
		_, err = p.Publish(ctx, e) // in the stream when this returns without error
	}
	if err != nil {
		fmt.Println(err)
	}
	if err := p.Close(ctx); err != nil {
		fmt.Println(err)
	}
}
