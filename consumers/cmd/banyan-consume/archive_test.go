package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/events/aggregate"
	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/sandbox/functiontest"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

// archived is a world with a stream that a function archives.
type archived struct {
	*world
	folder string
}

func newArchived(t *testing.T) archived {
	t.Helper()
	dir := t.TempDir()
	w := archived{newWorld(t), filepath.Join(dir, "events")}
	t.Setenv("BANYAN_ARCHIVE", w.folder)
	functiontest.Deploy(t, w.host.Client, "archive", functiontest.Small(t, functiontest.Build(t, "../archive")), map[string]string{"ARCHIVE": dir})
	_, err := w.host.Client.CreateEventSourceMapping(t.Context(), &awslambda.CreateEventSourceMappingInput{
		FunctionName: aws.String("archive"), EventSourceArn: &w.stream, StartingPosition: types.EventSourcePositionTrimHorizon,
		FunctionResponseTypes: []types.FunctionResponseType{types.FunctionResponseTypeReportBatchItemFailures},
	})
	sandboxtest.Must(t, err)
	return w
}

// publish puts an aggregate of two orders.
func (w archived) publish(keys ...string) {
	w.Helper()
	var b aggregate.Builder
	for _, key := range keys {
		b.Add(aggregate.Record{PartitionKey: key, Data: streamtest.Data(w.T, streamtest.Event(w.T, placed{Customer: key}))})
	}
	_, err := w.kinesis.PutRecord(w.Context(), &awskinesis.PutRecordInput{StreamName: aws.String("events"), PartitionKey: &keys[0], Data: b.Append(nil)})
	sandboxtest.Must(w.T, err)
}

// waitUntilArchived verifies until the archive has a number of events.
func (w archived) waitUntilArchived(events int) {
	w.Helper()
	eventually.True(w.T, fmt.Sprint(events, " events are archived"), func() bool {
		_, stdout, _ := run(w.T, "archive", "verify", "--json")
		var v verified
		return json.Unmarshal([]byte(stdout), &v) == nil && v.Events == events
	})
}

func (w archived) handled(key string) int { return strings.Count(w.log.String(), `"key":"`+key+`"`) }

// TestArchiveAndReplay by the command, as an operator meets them.
func TestArchiveAndReplay(t *testing.T) {
	w := newArchived(t)
	w.deploy("mailer", consumers.Halt)
	w.publish("ada", "bob")
	w.publish("cyd", "ada")
	w.waitUntilArchived(4)
	check(t, "archive verify --stream events --settled 0s", 0, "4 events", "not sealed", "2 records of the stream, 0 of them")

	check(t, "replay prod-mailer --dry-run", 0, "dry run: 4 events in 2 records")
	if w.handled("ada") != 0 {
		t.Error("a dry run invoked the function")
	}
	progress := filepath.Join(t.TempDir(), "progress.json")
	check(t, "replay prod-mailer --key ada --type order.placed --progress "+progress, 0, "2 events in 2 records, 2 left out")
	if w.handled("ada") != 2 || w.handled("bob")+w.handled("cyd") != 0 {
		t.Errorf("handled %d, %d, %d", w.handled("ada"), w.handled("bob"), w.handled("cyd"))
	}
	w.publish("ada", "dan")
	check(t, "replay prod-mailer --key ada --type order.placed --stream events --progress "+progress, 1, "the file is of another replay")
	check(t, "replay prod-mailer --type order.cancelled", 0, "0 events in 0 records")
	w.waitUntilArchived(6)
	check(t, "replay prod-mailer --key ada --type order.placed --progress "+progress, 0, "3 events in 3 records, 3 left out")
	check(t, "replay prod-mailer --stream events --from 1h", 0, "6 events in 3 records")
	if w.handled("ada") != 6 || w.handled("dan") != 1 {
		t.Errorf("handled %d, %d", w.handled("ada"), w.handled("dan"))
	}
	w.setBroken("bob")
	check(t, "replay prod-mailer --retries 1 --batch 1", 1, "failed 2 times", "after 0 events")
	check(t, "replay nobody", 1, "find function nobody")
	check(t, "replay prod-mailer --position x", 2, "--position")
	check(t, "replay prod-mailer --until 2100-01-01T00:00:00Z --batch 0", 2, "--batch must be from 1")
}
