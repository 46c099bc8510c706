package demo

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/consumers/social/profile"
	"github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/infra/sandbox"
)

// What the world is made of. In production Terraform makes these.
const (
	streamName      = "banyan-events"
	shards          = 4
	timelineTable   = "banyan-timeline"
	profileTable    = "banyan-profile"
	deadLetterTable = "banyan-dead-letters"
	failureQueue    = "banyan-consumer-failures"
	functionRole    = "arn:aws:iam::000000000000:role/banyan-consumer"
)

// consumerNames are the functions and, in their metrics, the consumers.
var consumerNames = []string{"timeline", "profile"}

// clients are the official SDK's, pointed by the environment like everybody's.
type clients struct {
	kinesis  *kinesis.Client
	dynamodb *dynamodb.Client
	lambda   *lambda.Client
	sqs      *sqs.Client
}

// newClients reads the world's environment, not this process's, since the
// sandbox's addresses are only known to the former.
func newClients(ctx context.Context, env map[string]string) (*clients, error) {
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithRegion(env["AWS_REGION"]),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env["AWS_SESSION_TOKEN"])),
		config.WithRetryMaxAttempts(10),
	)
	if err != nil {
		return nil, fmt.Errorf("configure AWS: %w", err)
	}
	at := func(service string) *string {
		if v := env["AWS_ENDPOINT_URL_"+service]; v != "" {
			return &v
		}
		if v := env["AWS_ENDPOINT_URL"]; v != "" {
			return &v
		}
		return nil
	}
	return &clients{
		kinesis:  kinesis.NewFromConfig(cfg, func(o *kinesis.Options) { o.BaseEndpoint = at("KINESIS") }),
		dynamodb: dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) { o.BaseEndpoint = at("DYNAMODB") }),
		lambda:   lambda.NewFromConfig(cfg, func(o *lambda.Options) { o.BaseEndpoint = at("LAMBDA") }),
		sqs:      sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.BaseEndpoint = at("SQS") }),
	}, nil
}

// provision makes the stream, the tables, the queue and the functions.
func (w *World) provision(ctx context.Context) error {
	if _, err := w.aws.kinesis.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String(streamName), ShardCount: aws.Int32(shards)}); err != nil {
		return fmt.Errorf("create the stream %s: %w", streamName, err)
	}
	for _, in := range []*dynamodb.CreateTableInput{timeline.TableInput(timelineTable), profile.TableInput(profileTable), deadletter.TableInput(deadLetterTable)} {
		if _, err := w.aws.dynamodb.CreateTable(ctx, in); err != nil {
			return fmt.Errorf("create the table %s: %w", *in.TableName, err)
		}
		if err := dynamodb.NewTableExistsWaiter(w.aws.dynamodb).Wait(ctx, &dynamodb.DescribeTableInput{TableName: in.TableName}, time.Minute); err != nil {
			return fmt.Errorf("wait for the table %s: %w", *in.TableName, err)
		}
	}
	if err := kinesis.NewStreamExistsWaiter(w.aws.kinesis, func(o *kinesis.StreamExistsWaiterOptions) { o.MinDelay = 200 * time.Millisecond }).
		Wait(ctx, &kinesis.DescribeStreamInput{StreamName: aws.String(streamName)}, time.Minute); err != nil {
		return fmt.Errorf("wait for the stream %s: %w", streamName, err)
	}
	return w.run(ctx, "init", nil, "banyan-migrate", "init", "--plan", w.path("users.yaml"))
}

// deployConsumers uploads the consumers' binaries as functions and maps the stream to
// them, as a deployment to AWS does.
func (w *World) deployConsumers(ctx context.Context) error {
	stream, err := w.aws.kinesis.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(streamName)})
	if err != nil {
		return fmt.Errorf("describe the stream: %w", err)
	}
	queue, err := w.aws.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(failureQueue)})
	if err != nil {
		return fmt.Errorf("create the queue %s: %w", failureQueue, err)
	}
	attrs, err := w.aws.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: queue.QueueUrl,
		AttributeNames: []sqstypes.QueueAttributeName{"QueueArn"}})
	if err != nil {
		return fmt.Errorf("read the queue's ARN: %w", err)
	}
	for _, name := range consumerNames {
		if err := w.deployFunction(ctx, name, stream.StreamDescriptionSummary.StreamARN, attrs.Attributes["QueueArn"]); err != nil {
			return fmt.Errorf("deploy the function %s: %w", name, err)
		}
	}
	return nil
}

func (w *World) deployFunction(ctx context.Context, name string, stream *string, queue string) error {
	code, err := sandbox.Archive(filepath.Join(w.cfg.Bin, "functions", name, "bootstrap"))
	if err != nil {
		return fmt.Errorf("%w (build it with `make build`)", err)
	}
	_, err = w.aws.lambda.CreateFunction(ctx, &lambda.CreateFunctionInput{
		FunctionName: aws.String("banyan-" + name), Role: aws.String(functionRole),
		Runtime: lambdatypes.RuntimeProvidedal2023, Handler: aws.String("bootstrap"),
		Code:    &lambdatypes.FunctionCode{ZipFile: code},
		Timeout: aws.Int32(30), MemorySize: aws.Int32(256),
		Environment: &lambdatypes.Environment{Variables: map[string]string{
			"TIMELINE_TABLE": timelineTable, "PROFILE_TABLE": profileTable, "DEAD_LETTER_TABLE": deadLetterTable, "GOMAXPROCS": "1",
		}},
	})
	if err != nil {
		return err
	}
	if err := lambda.NewFunctionActiveV2Waiter(w.aws.lambda, func(o *lambda.FunctionActiveV2WaiterOptions) { o.MinDelay = 100 * time.Millisecond }).
		Wait(ctx, &lambda.GetFunctionInput{FunctionName: aws.String("banyan-" + name)}, time.Minute); err != nil {
		return err
	}
	// Retried without end: the consumer itself writes dead letters for what it cannot
	// handle, so what fails here is its environment, and to give up would lose events.
	_, err = w.aws.lambda.CreateEventSourceMapping(ctx, &lambda.CreateEventSourceMappingInput{
		FunctionName: aws.String("banyan-" + name), EventSourceArn: stream,
		StartingPosition: lambdatypes.EventSourcePositionTrimHorizon,
		BatchSize:        aws.Int32(100), BisectBatchOnFunctionError: aws.Bool(true), MaximumRetryAttempts: aws.Int32(-1),
		FunctionResponseTypes: []lambdatypes.FunctionResponseType{lambdatypes.FunctionResponseTypeReportBatchItemFailures},
		DestinationConfig:     &lambdatypes.DestinationConfig{OnFailure: &lambdatypes.OnFailure{Destination: aws.String(queue)}},
	})
	return err
}
