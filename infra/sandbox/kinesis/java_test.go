package kinesis_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
)

var update = flag.Bool("update", false, "write what the SDK for Java sent to testdata")

// sentByJava is a PutRecords of the SDK for Java, for whoever writes the same.
const sentByJava = "testdata/putrecords-java.hex"

// TestJavaSDK lets Amazon's SDK for Java use the sandbox: the client for which
// it speaks CBOR.
func TestJavaSDK(t *testing.T) {
	classes := os.Getenv("BANYAN_CONFORMANCE_JAVA")
	if classes == "" {
		t.Skip("BANYAN_CONFORMANCE_JAVA is not set: run `make conformance`")
	}
	server, err := sandbox.New(sandbox.Config{Transition: time.Millisecond})
	must(t, err)
	kept := &keeper{Handler: server, bodies: map[string][]byte{}}
	front := httptest.NewServer(kept)
	t.Cleanup(front.Close)
	c := client(t, front.URL)
	_, err = c.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("s"), ShardCount: aws.Int32(1)})
	must(t, err)
	awaitActive(t, c, aws.String("s"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "java", "-cp", classes, "testdata/SDK.java", front.URL, "s")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s%s", err, out, &complaints)
	}
	if diff := cmp.Diff(seenByGo(t, c), string(out)); diff != "" {
		t.Error(diff)
	}
	kept.compare(t)
}

// seenByGo is what the SDK for Java should print, by the SDK for Go.
func seenByGo(t *testing.T, c *kinesis.Client) string {
	t.Helper()
	it, err := c.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{
		StreamName: aws.String("s"), ShardId: aws.String("shardId-000000000000"), ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	must(t, err)
	records, err := c.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator})
	must(t, err)
	summary, err := c.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("s")})
	must(t, err)
	var put, got strings.Builder
	for _, r := range records.Records {
		fmt.Fprintf(&put, "put shardId-000000000000 %s null\n", *r.SequenceNumber)
		fmt.Fprintf(&got, "got %s %d %x %x\n", *r.SequenceNumber, r.ApproximateArrivalTimestamp.UnixMilli(), *r.PartitionKey, r.Data)
	}
	if len(records.Records) != 3 || !bytes.Equal(records.Records[0].Data, []byte{0, 255}) || *records.Records[1].PartitionKey != "schlüssel" {
		t.Errorf("records %+v", records.Records)
	}
	return "failed 0\n" + put.String() +
		fmt.Sprintf("created %d\n", summary.StreamDescriptionSummary.StreamCreationTimestamp.UnixMilli()) +
		"shard 340282366920938463463374607431768211455\n" + got.String() +
		"missing 400 ResourceNotFoundException Stream missing under account 000000000000 not found.\n"
}

// keeper keeps the body of each operation in CBOR.
type keeper struct {
	http.Handler
	mu     sync.Mutex
	bodies map[string][]byte
}

func (k *keeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Content-Type") == cborType {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		k.mu.Lock()
		k.bodies[r.Header.Get("X-Amz-Target")] = body
		k.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	k.Handler.ServeHTTP(w, r)
}

// compare keeps testdata true.
func (k *keeper) compare(t *testing.T) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	sent := hex.EncodeToString(k.bodies[sandbox.Target+".PutRecords"]) + "\n"
	if *update {
		must(t, os.WriteFile(sentByJava, []byte(sent), 0o644))
	}
	want, err := os.ReadFile(sentByJava)
	must(t, err)
	if sent != string(want) || len(k.bodies) < 5 {
		t.Errorf("%d operations in CBOR; sent\n%swant\n%s", len(k.bodies), sent, want)
	}
}
