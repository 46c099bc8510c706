package logs_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/logs"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stream takes what is delivered.
type stream struct {
	mu      sync.Mutex
	records []*kinesis.PutRecordInput
	err     error
}

func (s *stream) PutRecord(_ context.Context, in *kinesis.PutRecordInput, _ ...func(*kinesis.Options)) (*kinesis.PutRecordOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	s.records = append(s.records, in)
	return &kinesis.PutRecordOutput{}, nil
}

// read unpacks what came, in order.
func (s *stream) read(t *testing.T) (texts []string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		z, err := gzip.NewReader(bytes.NewReader(r.Data))
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			MessageType, Owner, LogGroup, LogStream string
			SubscriptionFilters                     []string
			LogEvents                               []struct {
				ID        string
				Timestamp int64
				Message   string
			}
		}
		if err := json.NewDecoder(z).Decode(&d); err != nil {
			t.Fatal(err)
		}
		if d.MessageType == "CONTROL_MESSAGE" {
			texts = append(texts, "control")
			continue
		}
		if *r.PartitionKey != d.LogStream || d.Owner != "000000000000" || len(d.SubscriptionFilters) != 1 {
			t.Errorf("delivered %+v under %s", d, *r.PartitionKey)
		}
		last := ""
		for _, e := range d.LogEvents {
			if len(e.ID) != 56 || e.ID <= last {
				t.Errorf("id %s after %s", e.ID, last)
			}
			last = e.ID
			texts = append(texts, d.LogGroup+" "+d.LogStream+" "+e.Message)
		}
	}
	return texts
}

func client(t *testing.T, url string) *cloudwatchlogs.Client {
	return cloudwatchlogs.NewFromConfig(sandboxtest.Config(t, url), func(o *cloudwatchlogs.Options) { o.RetryMaxAttempts = 1 })
}

func serve(t *testing.T, cfg sandbox.Config) (*sandbox.Server, *cloudwatchlogs.Client) {
	t.Helper()
	server, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(server)
	t.Cleanup(func() {
		front.Close()
		server.Close()
	})
	return server, client(t, front.URL)
}

func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

const (
	streamARN = "arn:aws:kinesis:us-east-1:000000000000:stream/logs"
	roleARN   = "arn:aws:iam::000000000000:role/logs"
)

func subscribe(t *testing.T, c *cloudwatchlogs.Client, group, filter string) error {
	t.Helper()
	_, err := c.PutSubscriptionFilter(t.Context(), &cloudwatchlogs.PutSubscriptionFilterInput{
		LogGroupName: &group, FilterName: &filter, FilterPattern: aws.String(""), DestinationArn: aws.String(streamARN), RoleArn: aws.String(roleARN),
	})
	return err
}

func create(t *testing.T, c *cloudwatchlogs.Client, group string) {
	t.Helper()
	if _, err := c.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group}); err != nil {
		t.Fatal(err)
	}
}

// groups is what any CloudWatch Logs does with groups and retention.
func groups(t *testing.T, c *cloudwatchlogs.Client) {
	prefix := fmt.Sprintf("/conform/%d/", time.Now().UnixNano())
	var names []string
	for i := range 55 {
		names = append(names, fmt.Sprintf("%s%02d", prefix, i))
		create(t, c, names[i])
	}
	var found []string
	pages := cloudwatchlogs.NewDescribeLogGroupsPaginator(c, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &prefix})
	for n := 0; pages.HasMorePages(); n++ {
		page, err := pages.NextPage(t.Context())
		if err != nil || n == 0 && len(page.LogGroups) != 50 {
			t.Fatalf("page %d: %d groups, %v", n, len(page.LogGroups), err)
		}
		for _, g := range page.LogGroups {
			found = append(found, *g.LogGroupName)
			if g.RetentionInDays != nil || aws.ToInt64(g.CreationTime) == 0 {
				t.Errorf("%+v", g)
			}
		}
	}
	if !slices.Equal(found, names) {
		t.Errorf("found %v", found)
	}
	_, err := c.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &names[0]})
	if code(err) != "ResourceAlreadyExistsException" {
		t.Errorf("created twice: %v", err)
	}
	_, err = c.PutRetentionPolicy(t.Context(), &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: aws.String(prefix + "none"), RetentionInDays: aws.Int32(30)})
	if code(err) != "ResourceNotFoundException" {
		t.Errorf("retention of none: %v", err)
	}
	if _, err := c.PutRetentionPolicy(t.Context(), &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: &names[0], RetentionInDays: aws.Int32(30)}); err != nil {
		t.Error(err)
	}
	out, err := c.DescribeLogGroups(t.Context(), &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &names[0]})
	if err != nil || aws.ToInt32(out.LogGroups[0].RetentionInDays) != 30 {
		t.Errorf("retention: %v, %v", out, err)
	}
}

func TestSandboxConforms(t *testing.T) {
	_, c := serve(t, sandbox.Config{Kinesis: &stream{}})
	t.Run("groups", func(t *testing.T) { groups(t, c) })
}

// TestPeerConforms runs the same on another implementation.
func TestPeerConforms(t *testing.T) {
	url := os.Getenv("BANYAN_CONFORMANCE_LOGS")
	if url == "" {
		t.Skip("BANYAN_CONFORMANCE_LOGS is not set")
	}
	c := client(t, url)
	t.Run("groups", func(t *testing.T) { groups(t, c) })
	t.Run("subscriptions", func(t *testing.T) { peerSubscriptions(t, c, url) })
}

// peerSubscriptions is what moto 5.2 can tell. It differs where a filter of a full
// group is replaced: moto refuses that, the API reference says "creates or updates".
func peerSubscriptions(t *testing.T, c *cloudwatchlogs.Client, url string) {
	k := kinesis.NewFromConfig(sandboxtest.Config(t, url))
	name := fmt.Sprint("logs-", time.Now().UnixNano())
	if _, err := k.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: &name, ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	described, err := k.DescribeStream(t.Context(), &kinesis.DescribeStreamInput{StreamName: &name})
	if err != nil {
		t.Fatal(err)
	}
	group := "/" + name
	create(t, c, group)
	put := func(filter string) error {
		_, err := c.PutSubscriptionFilter(t.Context(), &cloudwatchlogs.PutSubscriptionFilterInput{
			LogGroupName: &group, FilterName: &filter, FilterPattern: aws.String(""), DestinationArn: described.StreamDescription.StreamARN,
			RoleArn: aws.String(roleARN),
		})
		return err
	}
	for i, want := range []string{"<nil>", "<nil>", "<nil>", "LimitExceededException"} {
		if got := code(put([]string{"a", "a", "b", "c"}[i])); got != want {
			t.Errorf("filter %d: %s, want %s", i, got, want)
		}
	}
	out, err := c.DescribeSubscriptionFilters(t.Context(), &cloudwatchlogs.DescribeSubscriptionFiltersInput{LogGroupName: &group})
	if err != nil || len(out.SubscriptionFilters) != 2 || aws.ToString(out.SubscriptionFilters[0].FilterName) != "a" {
		t.Errorf("%v, %v", out, err)
	}
}

func TestDelivery(t *testing.T) {
	k := &stream{}
	faults, err := fault.Parse("logs.Deliver throttle=0.3 late=0.1; delay 1ms")
	if err != nil {
		t.Fatal(err)
	}
	in, err := fault.New(faults, 7)
	if err != nil {
		t.Fatal(err)
	}
	server, c := serve(t, sandbox.Config{Kinesis: k, Retry: time.Millisecond, Fault: func(op, group string) fault.Fault { return in.Draw("logs", op, group) }})
	create(t, c, "/g")
	if err := subscribe(t, c, "/g", "f"); err != nil {
		t.Fatal(err)
	}
	want := []string{"control"}
	if _, err := c.CreateLogStream(t.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("/g"), LogStreamName: aws.String("s")}); err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("x", 100<<10)
	for i := range 20 {
		at := time.Now().UnixMilli()
		texts := []string{fmt.Sprint(i), big, big}
		events := &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String("/g"), LogStreamName: aws.String("s")}
		for _, text := range texts {
			events.LogEvents = append(events.LogEvents, types.InputLogEvent{Timestamp: &at, Message: &text})
			want = append(want, "/g s "+text)
		}
		if _, err := c.PutLogEvents(t.Context(), events); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(time.Minute); server.Waiting() > 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if got := k.read(t); !slices.Equal(got, want) {
		t.Errorf("%d lines were delivered of %d, or not in order", len(got), len(want))
	}
}

func TestRefusals(t *testing.T) {
	k := &stream{}
	server, c := serve(t, sandbox.Config{Kinesis: k})
	create(t, c, "/g")
	for i, want := range []string{"<nil>", "<nil>", "<nil>", "LimitExceededException"} {
		if got := code(subscribe(t, c, "/g", []string{"a", "b", "b", "c"}[i])); got != want {
			t.Errorf("filter %d: %s, want %s", i, got, want)
		}
	}
	k.err = errors.New("no such stream")
	for group, want := range map[string]string{"/g": "InvalidParameterException", "/none": "ResourceNotFoundException"} {
		if got := code(subscribe(t, c, group, "a")); got != want {
			t.Errorf("%s: %s, want %s", group, got, want)
		}
	}
	if _, err := c.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/rare"),
		LogGroupClass: types.LogGroupClassInfrequentAccess}); err != nil {
		t.Fatal(err)
	}
	if got := code(subscribe(t, c, "/rare", "a")); got != "InvalidParameterException" {
		t.Errorf("another class: %s", got)
	}
	now, old := time.Now().UnixMilli(), time.Now().Add(-15*24*time.Hour).UnixMilli()
	if _, err := c.CreateLogStream(t.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("/g"), LogStreamName: aws.String("s")}); err != nil {
		t.Fatal(err)
	}
	put := func(times ...int64) (*cloudwatchlogs.PutLogEventsOutput, error) {
		in := &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String("/g"), LogStreamName: aws.String("s")}
		for _, at := range times {
			in.LogEvents = append(in.LogEvents, types.InputLogEvent{Timestamp: &at, Message: aws.String("m")})
		}
		return c.PutLogEvents(t.Context(), in)
	}
	if _, err := put(now, now-1); code(err) != "InvalidParameterException" {
		t.Errorf("not in order: %v", err)
	}
	if out, err := put(old, old); err != nil || aws.ToInt32(out.RejectedLogEventsInfo.TooOldLogEventEndIndex) != 2 {
		t.Errorf("too old: %v, %v", out, err)
	}
	k.mu.Lock()
	k.err = &kinesistypes.ResourceNotFoundException{}
	k.mu.Unlock()
	if _, err := put(now); err != nil {
		t.Error(err)
	}
	for end := time.Now().Add(time.Minute); server.Waiting() > 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if server.Undelivered() != 2 {
		t.Errorf("%d undelivered", server.Undelivered())
	}
}
