// Command outbox-relay is the Lambda function that brings events from an outbox
// table in DynamoDB to the stream, woken by the stream of that table. Its
// environment, besides that of the AWS SDK:
//
//	OUTBOX_TABLE        table of the outbox, default banyan-outbox
//	EVENTS_STREAM       Kinesis stream to publish to, default banyan-events
//	DEAD_LETTER_TABLE   table of dead letters, default banyan-dead-letters
//	CONCURRENCY         keys relayed at the same time, default 16
//	CLAIM               how long a key is kept from other relays, default 15s
//	SCHEMAS             file with the AsyncAPI document in JSON that events must fit, such
//	                    as /opt/asyncapi.json in a layer; an event that does not becomes a
//	                    dead letter, and types that it lacks pass. Default: all pass
//	LOG_LEVEL           debug, info (default), warn or error
//
// The mapping needs ReportBatchItemFailures, and is best given the filter
// {"eventName":["INSERT"]}. The function's role needs to read, update and delete
// the items of the outbox table, put and list shards on the stream, and put, read and
// update items of the table of dead letters, where they have "outbox-relay" for a consumer.
//
// Invoked with {"redrive": {}}, as banyan-consume deadletters redrive does, it publishes its
// dead letters, as package deadletter describes. An event then comes behind those of its key
// that were published since.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	f, err := newFunction(ctx, os.Getenv)
	cancel()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: cannot start: %v\n", name, err)
		os.Exit(1)
	}
	lambda.Start(f.invoke)
}
