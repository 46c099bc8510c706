package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/personal/keytable"
	kinesissandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

// TestErase erases a person twice, and finds the event of it on the stream.
func TestErase(t *testing.T) {
	newLetters(t) // its environment
	db := streamtest.NewDynamoDB(t)
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", db.Endpoint)
	table := db.CreateTable(func(name string) *dynamodb.CreateTableInput { return keytable.Input(name) })
	t.Setenv("SUBJECT_KEYS_TABLE", table)
	keys, err := keytable.New(keytable.Config{Client: db.Client(nil), Name: table})
	sandboxtest.Must(t, err)
	_, err = keys.Make(t.Context(), "user/4\"2")
	sandboxtest.Must(t, err)

	server, err := kinesissandbox.New(kinesissandbox.Config{Transition: time.Nanosecond})
	sandboxtest.Must(t, err)
	url := sandboxtest.Serve(t, server)
	t.Setenv("AWS_ENDPOINT_URL_KINESIS", url)
	client := kinesis.NewFromConfig(sandboxtest.Config(t, url))
	file := filepath.Join(t.TempDir(), "erased.json")
	const event = `{"type":"user.erased","dataversion":1,"source":"/ops","partitionkey":"{id}","data":{"user":"{id}","of":"{subject}"}}`
	sandboxtest.Must(t, os.WriteFile(file, []byte(event), 0o600))
	erase := func(code int, says string, args ...string) (line erasure) {
		t.Helper()
		got, stdout, stderr := run(t, append([]string{"erase", "user/4\"2"}, args...)...)
		if got != code || !strings.Contains(stdout+stderr, says) {
			t.Errorf("%v: exit code %d, want %d and %q: %s%s", args, got, code, says, stdout, stderr)
		}
		_ = json.Unmarshal([]byte(stdout), &line)
		return line
	}
	dry := erase(0, "", "--dry-run", "--event="+file)
	if dry.Before != keytable.HasKey || dry.Now != keytable.HasKey || !strings.Contains(string(dry.Event), `"user":"4\"2"`) {
		t.Errorf("a dry run: %+v", dry)
	}
	erase(1, "run the same command again", "--event="+file) // no such stream
	_, err = client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: new("banyan-events"), ShardCount: new(int32(1))})
	sandboxtest.Must(t, err)
	sandboxtest.Must(t, kinesis.NewStreamExistsWaiter(client, func(o *kinesis.StreamExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = time.Millisecond, 10*time.Millisecond
	}).Wait(t.Context(), &kinesis.DescribeStreamInput{StreamName: new("banyan-events")}, time.Minute))
	line := erase(0, "", "--event="+file)
	if line.Before != keytable.Erased || line.Now != keytable.Erased || line.Position == "" {
		t.Errorf("again: %+v", line)
	}
	shard, err := client.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{
		StreamName: new("banyan-events"), ShardId: new("shardId-000000000000"), ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	sandboxtest.Must(t, err)
	out, err := client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: shard.ShardIterator})
	sandboxtest.Must(t, err)
	if len(out.Records) != 1 {
		t.Fatalf("%d events on the stream", len(out.Records))
	}
	e, err := events.Decode(out.Records[0].Data)
	if err != nil || e.ID != line.EventID || e.PartitionKey != `4"2` || e.Subject != `user/4"2` || string(e.Data) != `{"of":"user/4\"2","user":"4\"2"}` {
		t.Errorf("%+v, %v", e, err)
	}
	if other := erase(0, "", "--event="+file); other.EventID != line.EventID {
		t.Errorf("the event has another id when it is repeated: %s, %s", line.EventID, other.EventID)
	}
	erase(0, `"now":"erased"`)
	sandboxtest.Must(t, os.WriteFile(file, []byte(`{"type":"user.erased"}`), 0o600))
	erase(2, "required, and absent", "--event="+file)
	erase(1, "cannot be used", "--subject-keys=nowhere")
}
