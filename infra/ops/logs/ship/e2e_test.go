package ship_test

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/infra/opensearch/bulktest"
	"github.com/banyan-fig/banyan/infra/ops/logs/ship"
	"github.com/banyan-fig/banyan/infra/ops/logs/subscribe"
	"github.com/banyan-fig/banyan/infra/ops/sweep"
	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

const (
	streamARN = "arn:aws:kinesis:us-east-1:000000000000:stream/logs"
	roleARN   = "arn:aws:iam::000000000000:role/logs"
	shipper   = "banyan-log-shipper" // as the Terraform module names it
	ownGroup  = "/aws/lambda/" + shipper
)

// account is a sandbox in which the real functions run.
type account struct {
	t      *testing.T
	server *bulktest.Server
	box    *sandbox.Sandbox
	out    *output
	logs   *cloudwatchlogs.Client
	lambda *lambda.Client
	sqs    *sqs.Client
	dead   string // URL of the queue
}

// output is what functions print.
type output struct {
	mu    sync.Mutex
	lines []string
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines = append(o.lines, string(p))
	return len(p), nil
}

func (o *output) from(n int) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.lines[n:])
}

func newAccount(t *testing.T, plan string, seed uint64, f bulktest.Faults) *account {
	t.Helper()
	t.Parallel() // most of the time nothing happens
	faults, err := fault.Parse(plan)
	if err != nil {
		t.Fatal(err)
	}
	a := &account{t: t, server: bulktest.Start(t, f), out: &output{}}
	a.box, err = sandbox.Start(t.Context(), sandbox.Config{Environ: []string{}, Faults: faults, Seed: seed, FunctionLog: a.out, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.box.Close(); err != nil {
			t.Error(err)
		}
	})
	a.box.Faults().Switch(false)
	a.clients()
	if err := a.box.CreateStream(t.Context(), "logs", 2); err != nil {
		t.Fatal(err)
	}
	queue, err := a.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("dead")})
	if err != nil {
		t.Fatal(err)
	}
	a.dead = *queue.QueueUrl
	a.deploy()
	a.box.Faults().Switch(true)
	return a
}

func (a *account) clients() {
	env := map[string]string{}
	for _, kv := range a.box.Env() {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	transport := &http.Transport{}
	a.t.Cleanup(transport.CloseIdleConnections)
	cfg := aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(env["AWS_ENDPOINT_URL"]), HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""), RetryMaxAttempts: 10,
	}
	a.logs, a.lambda, a.sqs = cloudwatchlogs.NewFromConfig(cfg), lambda.NewFromConfig(cfg), sqs.NewFromConfig(cfg)
}

// binary is the function as it would be deployed, built once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "banyan-log-shipper-")
	if err != nil {
		return "", err
	}
	built = dir
	path := filepath.Join(dir, "bootstrap")
	out, err := exec.Command("go", "build", "-tags=lambda.norpc", "-o", path, "../cmd/log-shipper").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building log-shipper: %w\n%s", err, out)
	}
	return path, nil
})

// built is the folder of the binary, once there is one.
var built string

// deploy makes the function and its mapping.
func (a *account) deploy() {
	a.t.Helper()
	path, err := binary()
	if err != nil {
		a.t.Fatal(err)
	}
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	header := &zip.FileHeader{Name: "bootstrap"}
	header.SetMode(0o755)
	f, err := w.CreateHeader(header)
	if err == nil {
		_, err = io.WriteString(f, "#!/bin/sh\nexec "+path+"\n") // uploading megabytes takes its time
	}
	if err := errors.Join(err, w.Close()); err != nil {
		a.t.Fatal(err)
	}
	_, err = a.lambda.CreateFunction(a.t.Context(), &lambda.CreateFunctionInput{
		FunctionName: aws.String(shipper), Role: aws.String(roleARN), Runtime: lambdatypes.RuntimeProvidedal2023, Handler: aws.String("bootstrap"),
		Timeout: aws.Int32(15), MemorySize: aws.Int32(512), Code: &lambdatypes.FunctionCode{ZipFile: archive.Bytes()},
		Environment: &lambdatypes.Environment{Variables: map[string]string{
			"OPENSEARCH_URL": a.server.URL, "LOG_DEAD_LETTER_URL": a.dead, "LOG_BULK_DOCUMENTS": "25",
		}},
	})
	if err == nil {
		_, err = a.lambda.CreateEventSourceMapping(a.t.Context(), &lambda.CreateEventSourceMappingInput{
			EventSourceArn: aws.String(streamARN), FunctionName: aws.String(shipper), StartingPosition: lambdatypes.EventSourcePositionTrimHorizon,
			BatchSize: aws.Int32(20), ParallelizationFactor: aws.Int32(2), BisectBatchOnFunctionError: aws.Bool(true),
			FunctionResponseTypes: []lambdatypes.FunctionResponseType{lambdatypes.FunctionResponseTypeReportBatchItemFailures},
		})
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a *account) createGroup(name string, streams ...string) {
	a.t.Helper()
	_, err := a.logs.CreateLogGroup(a.t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name})
	for _, stream := range streams {
		if err == nil {
			_, err = a.logs.CreateLogStream(a.t.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &name, LogStreamName: &stream})
		}
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

// subscribe runs the real subscriber over all groups, as often as its schedule would
// until nothing fails.
func (a *account) subscribe() {
	a.t.Helper()
	s, err := subscribe.New(a.logs, a.lambda, subscribe.Config{StreamARN: streamARN, RoleARN: roleARN, Rate: -1})
	if err != nil {
		a.t.Fatal(err)
	}
	for range 5 {
		r := s.BackFill(a.t.Context())
		if r.Stopped == sweep.Done && r.Failures == 0 {
			return
		}
		a.t.Logf("%+v", r)
	}
	a.t.Fatal("not all groups could be subscribed")
}

func (a *account) write(ctx context.Context, group, stream string, lines ...string) error {
	in := &cloudwatchlogs.PutLogEventsInput{LogGroupName: &group, LogStreamName: &stream}
	now := time.Now().UnixMilli()
	for _, l := range lines {
		in.LogEvents = append(in.LogEvents, types.InputLogEvent{Timestamp: &now, Message: &l})
	}
	_, err := a.logs.PutLogEvents(ctx, in)
	return err
}

// poison has a character that SQS does not take.
const poison = "never to be taken\uffff"

func refusePoison(source map[string]any) (int, string) {
	if text, _ := source["message"].(string); strings.HasPrefix(text, poison) {
		return http.StatusBadRequest, "mapper_parsing_exception"
	}
	return 0, ""
}

// rough is what goes wrong on the way; the names are those of the sandbox.
const rough = `delay 20ms
logs.Deliver throttle=0.1 duplicate=0.1 timeout-after=0.1 late=0.05
kinesis.* throttle=0.05 internal=0.02
lambda.Invoke partial=0.1 timeout-after=0.1 duplicate=0.1 internal=0.05
sqs.SendMessageBatch partial=0.3 throttle=0.2`

// TestEverythingArrivesOnceAndInOrder: from CloudWatch Logs to the bulk server
// through the real function, while deliveries fail and come twice, the function is
// killed in the middle, and the server puts off, loses answers and refuses.
func TestEverythingArrivesOnceAndInOrder(t *testing.T) {
	const seed = 20261122
	t.Logf("seed %d", seed)
	a := newAccount(t, rough, seed, bulktest.Faults{Item429: 0.1, Whole: 0.1, Lost: 0.1, Seed: seed, Refuse: refusePoison})
	streams := []string{"2026/11/22/[$LATEST]a", "2026/11/22/[$LATEST]b", "2026/11/22/[7]c"}
	groups := []string{"/aws/lambda/users", "/ecs/proxy"}
	for _, g := range groups {
		a.createGroup(g, streams...)
	}
	a.createGroup(ownGroup, "own")
	a.subscribe()
	wrote, poisons := a.writeAll(groups, streams)
	a.server.Wait(t, len(wrote)-poisons, 2*time.Minute)
	letters := a.letters(poisons)
	a.box.Faults().Switch(false)

	got := map[string][]bulktest.Document{}
	for _, d := range a.server.Documents() {
		key := d.Text("log.group") + " " + d.Text("log.stream")
		got[key] = append(got[key], d)
	}
	for key, want := range perStream(wrote) {
		slices.SortFunc(got[key], func(x, y bulktest.Document) int {
			return cmp.Or(cmp.Compare(x.Text("@timestamp"), y.Text("@timestamp")), cmp.Compare(x.Text("log.offset"), y.Text("log.offset")))
		})
		if have := messages(got[key]); !slices.Equal(have, want) {
			at := 0
			for at < len(have) && at < len(want) && have[at] == want[at] {
				at++
			}
			t.Errorf("%s has %d lines of %d, and goes wrong at %d: %q", key, len(have), len(want), at, have[at:])
		}
	}
	if n := len(a.server.Documents()); n != len(wrote)-poisons {
		t.Errorf("%d documents for %d lines, %d of them refused", n, len(wrote), poisons)
	}
	if len(letters) != poisons {
		t.Errorf("%d dead letters, want %d", len(letters), poisons)
	}
	a.accounted()
	if c := a.server.Counts(); c.Doubled == 0 || c.PutOff == 0 || c.Lost == 0 {
		t.Errorf("not everything went wrong: %+v", c)
	}
	if h := a.server.Header().Get("Authorization"); !strings.Contains(h, "/us-east-1/es/aws4_request") {
		t.Errorf("signed %q", h)
	}
	if a.server.Template("logs-banyan") == "" {
		t.Error("no index template was put")
	}
}

type written struct{ key, text string }

// writeAll writes to all streams at once, and to each in order.
func (a *account) writeAll(groups, streams []string) (all []written, poisons int) {
	a.t.Helper()
	var g errgroup.Group
	for _, group := range groups {
		for _, stream := range streams {
			var lines []string
			for i := range 40 {
				text := fmt.Sprintf(`{"level":"INFO","msg":"%s %s %d","correlation_id":"c-%d"}`, group, stream, i, i)
				if i%20 == 7 {
					text = fmt.Sprint(poison, group, stream, i)
					poisons++
				}
				lines = append(lines, text)
				all = append(all, written{group + " " + stream, text})
			}
			g.Go(func() error {
				for part := range slices.Chunk(lines, 3) {
					if err := a.write(a.t.Context(), group, stream, part...); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		a.t.Fatal(err)
	}
	return all, poisons
}

func perStream(all []written) map[string][]string {
	out := map[string][]string{}
	for _, w := range all {
		if !strings.HasPrefix(w.text, poison) {
			out[w.key] = append(out[w.key], w.text)
		}
	}
	return out
}

// letters waits for n different dead letters; a delivery that came twice makes two
// of one.
func (a *account) letters(n int) map[string]bool {
	a.t.Helper()
	found := map[string]bool{}
	for end := time.Now().Add(time.Minute); len(found) < n && time.Now().Before(end); {
		out, err := a.sqs.ReceiveMessage(a.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &a.dead, MaxNumberOfMessages: 10, WaitTimeSeconds: 1})
		if err != nil {
			a.t.Fatal(err)
		}
		for _, m := range out.Messages {
			var l ship.DeadLetter
			if err := json.Unmarshal([]byte(*m.Body), &l); err != nil || !strings.HasPrefix(l.Message, poison) || l.Sequence == "" {
				a.t.Errorf("letter %s: %v", *m.Body, err)
			}
			found[l.ID] = true
		}
	}
	return found
}

// accounted checks that every report of the function adds up.
func (a *account) accounted() {
	a.t.Helper()
	reports := 0
	for _, text := range a.out.from(0) {
		_, text, _ = strings.Cut(text, ": ")
		var m map[string]any
		if json.Unmarshal([]byte(text), &m) != nil || m["LogEvents"] == nil {
			continue
		}
		reports++
		if m["Function"] != shipper {
			a.t.Errorf("counted under another name: %s", text)
		}
		sum := 0.0
		for _, name := range []string{"LogCreated", "LogDoubled", "LogRefused", "LogDropped", "LogPending"} {
			sum += m[name].(float64)
		}
		if sum != m["LogEvents"] {
			a.t.Errorf("a report does not add up: %s", text)
		}
	}
	if reports == 0 {
		a.t.Error("the function reported nothing")
	}
}

// TestNoFeedback: the shipper's own log flows into its group as on Lambda. The
// subscriber leaves that alone; when somebody subscribes it by hand, nothing of it
// is shipped all the same, and what the function writes does not grow.
func TestNoFeedback(t *testing.T) {
	a := newAccount(t, "", 1, bulktest.Faults{})
	a.createGroup("/aws/lambda/users", "s")
	a.createGroup(ownGroup, "own")
	a.subscribe()
	ctx, cancel := context.WithCancel(t.Context())
	var pump errgroup.Group
	pump.Go(func() error { return a.pump(ctx) })
	defer func() {
		cancel()
		if err := pump.Wait(); err != nil {
			t.Error(err)
		}
	}()
	filters, err := a.logs.DescribeSubscriptionFilters(ctx, &cloudwatchlogs.DescribeSubscriptionFiltersInput{LogGroupName: aws.String(ownGroup)})
	if err != nil || len(filters.SubscriptionFilters) != 0 {
		t.Fatalf("the own group has filters: %v, %v", filters, err)
	}
	_, err = a.logs.PutSubscriptionFilter(ctx, &cloudwatchlogs.PutSubscriptionFilterInput{
		LogGroupName: aws.String(ownGroup), FilterName: aws.String("by-hand"), FilterPattern: aws.String(""),
		DestinationArn: aws.String(streamARN), RoleArn: aws.String(roleARN),
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if err := a.write(ctx, "/aws/lambda/users", "s", fmt.Sprint("line ", i)); err != nil {
			t.Fatal(err)
		}
	}
	a.server.Wait(t, 20, 2*time.Minute)
	a.quietens()
	for _, d := range a.server.Documents() {
		if d.Text("log.group") != "/aws/lambda/users" {
			t.Errorf("shipped %v", d)
		}
	}
}

// pump brings what functions print into their group, until ctx ends.
func (a *account) pump(ctx context.Context) error {
	seen := 0
	for ctx.Err() == nil {
		lines := a.out.from(seen)
		seen += len(lines)
		if len(lines) > 0 {
			if err := a.write(ctx, ownGroup, "own", lines...); err != nil && ctx.Err() == nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// quietens checks that the function ceases to write lines of its own about its own
// lines, beyond the platform's three of an invocation: a loop writes some with each
// invocation, of which there are many in a second.
func (a *account) quietens() {
	a.t.Helper()
	seen, last, limit := 0, time.Now(), time.Now().Add(time.Minute)
	for time.Since(last) < time.Second {
		time.Sleep(10 * time.Millisecond)
		lines := a.out.from(seen)
		seen += len(lines)
		for _, text := range lines {
			if !strings.Contains(text, "LogEvents") && !strings.Contains(text, `"level"`) {
				continue
			}
			if last = time.Now(); last.After(limit) {
				a.t.Fatalf("it goes on writing about itself: %s", text)
			}
		}
	}
}
