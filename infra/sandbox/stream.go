package sandbox

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// CreateStream creates a provisioned stream in the embedded Kinesis and waits
// until it takes records. It refuses to touch a Kinesis that is the user's.
func (s *Sandbox) CreateStream(ctx context.Context, name string, shards int32) error {
	if !s.embeds(Kinesis) {
		return fmt.Errorf("create the stream %s: AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_KINESIS names another server; unset it, or create the stream there", name)
	}
	client := s.kinesisClient()
	if _, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &name, ShardCount: &shards}); err != nil {
		return fmt.Errorf("create the stream %s: %w", name, err)
	}
	fast := func(o *kinesis.StreamExistsWaiterOptions) { o.MinDelay, o.MaxDelay = 20*time.Millisecond, time.Second }
	if err := kinesis.NewStreamExistsWaiter(client, fast).Wait(ctx, &kinesis.DescribeStreamInput{StreamName: &name}, time.Minute); err != nil {
		return fmt.Errorf("wait for the stream %s: %w", name, err)
	}
	return nil
}

// kinesisClient is one of the stream service that functions reach.
func (s *Sandbox) kinesisClient(options ...func(*kinesis.Options)) *kinesis.Client {
	return kinesis.NewFromConfig(s.sdk(Kinesis), options...)
}

// sdk is how a client finds a service: as a process does that has Env.
func (s *Sandbox) sdk(service string) aws.Config {
	env := newEnvironment(s.env)
	return aws.Config{
		Region: env[region], BaseEndpoint: aws.String(cmp.Or(env[serviceURLs[service]], env[endpointURL])),
		Credentials: credentials.NewStaticCredentialsProvider(env[accessKey], env[secretKey], env[sessionToken]),
	}
}
