package terraform_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cloudwatchtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/ops/sqsloop"
)

// inserted tells of an item of an outbox, which is gone by then: moto answers 500 to
// what is published to this environment's stream, though not to the same on a stream
// of its own. So the relay writes no Lag, which only what was published has.
const (
	inserted    = `{"Records":[{"eventName":"INSERT","dynamodb":{"Keys":{"pk":{"S":"user-1"}},"SequenceNumber":"1"}}]}`
	lagOfRelays = "Banyan/Consumers Lag Function=banyan-example-outbox-relay"
)

// counting are the functions with metrics of their own: events on which they write
// them, and those metrics of which somebody is told.
var counting = map[string]struct {
	events func(*testing.T, aws.Config) []string
	told   string
}{
	"profile":           {events: delivered, told: "DeadLetters"},
	"timeline":          {events: delivered, told: "DeadLetters"},
	"recommendations":   {events: delivered, told: "DeadLetters"},
	"archive":           {events: delivered},
	"outbox-relay":      {events: just(inserted), told: "DeadLetters"},
	"janitor":           {events: just(`{"dryRun":true}`), told: "Failures Looked"},
	"stream-autoscaler": {events: just(`{}`), told: "AtLimit HotKey MetricsMissing Failures"},
	"keep-warm":         {events: just(`{}`), told: "Misunderstood"},
	"log-subscriber":    {events: just(`{}`), told: "Failures LogGroupsFull"},
	"log-shipper":       {events: delivered, told: "LogRefused LogUndecodable LogGaps LogDropped"},
	"sqsloop":           {events: turns, told: "Problems"},
	"sqsloop-restart":   {events: deadLoops, told: "LoopsRestarted"},
}

func just(event string) func(*testing.T, aws.Config) []string {
	return func(*testing.T, aws.Config) []string { return []string{event} }
}

// TestPeerMadeMetrics: the functions are run with the environment and the name that
// they are deployed with. Every alarm on metrics of Banyan's own is on one that they
// write, with the same dimensions, and so is what the dashboard shows; and of each
// that matters, an alarm tells.
func TestPeerMadeMetrics(t *testing.T) {
	cfg, endpoint := deployed(t)
	written := map[string]string{} // the function, by the metric
	var mu sync.Mutex
	t.Run("run", func(t *testing.T) {
		for function, test := range counting {
			t.Run(function, func(t *testing.T) {
				if function != "sqsloop-restart" { // first: beside the loops of sqsloop its own would be too many for a queue of one
					t.Parallel()
				}
				for _, event := range test.events(t, cfg) {
					lines := invoke(t, cfg, endpoint, function, event)
					mu.Lock()
					for _, metric := range metricsIn(t, lines) {
						written[metric] = function
					}
					mu.Unlock()
				}
			})
		}
	})
	told := map[string]bool{} // function and metric
	for name, a := range alarms(t, cfg) {
		if !strings.HasPrefix(aws.ToString(a.Namespace), "Banyan/") {
			continue
		}
		metric := watched(a)
		function, there := written[metric]
		if !there {
			t.Errorf("the alarm %s watches %s, which no function writes", name, metric)
		}
		told[function+" "+*a.MetricName] = true
		if len(a.AlarmActions) == 0 {
			t.Errorf("the alarm %s tells nobody", name)
		}
	}
	for _, metric := range shown(t, cfg) {
		if metric == lagOfRelays {
			fmt.Println("SKIPPED", metric, "on the dashboard: moto takes nothing for the stream of this environment, which the relay would have to publish to")
		} else if _, there := written[metric]; !there {
			t.Errorf("the dashboard shows %s, which no function writes", metric)
		}
	}
	for function, test := range counting {
		for metric := range strings.FieldsSeq(test.told) {
			if !told[function+" "+metric] {
				t.Errorf("no alarm is on %s of %s", metric, function)
			}
		}
	}
	if t.Failed() {
		for metric, function := range written {
			t.Logf("%s writes %s", function, metric)
		}
	}
}

// identity is a metric as CloudWatch tells it from others.
func identity(namespace, name string, dimensions []string) string {
	slices.Sort(dimensions)
	return namespace + " " + name + " " + strings.Join(dimensions, " ")
}

func watched(a cloudwatchtypes.MetricAlarm) string {
	var dimensions []string
	for _, d := range a.Dimensions {
		dimensions = append(dimensions, *d.Name+"="+*d.Value)
	}
	return identity(*a.Namespace, *a.MetricName, dimensions)
}

// shown are the metrics of Banyan's own on the dashboard.
func shown(t *testing.T, cfg aws.Config) (all []string) {
	t.Helper()
	out := must[*cloudwatch.GetDashboardOutput](t)(
		cloudwatch.NewFromConfig(cfg).GetDashboard(t.Context(), &cloudwatch.GetDashboardInput{DashboardName: aws.String(environment)}),
	)
	var body struct {
		Widgets []struct {
			Properties struct{ Metrics [][]any }
		}
	}
	if err := json.Unmarshal([]byte(*out.DashboardBody), &body); err != nil {
		t.Fatal(err)
	}
	for _, widget := range body.Widgets {
		for _, m := range widget.Properties.Metrics {
			if namespace, _ := m[0].(string); strings.HasPrefix(namespace, "Banyan/") && len(m) >= 4 {
				all = append(all, identity(namespace, fmt.Sprint(m[1]), []string{fmt.Sprintf("%v=%v", m[2], m[3])}))
			}
		}
	}
	if len(all) == 0 {
		t.Error("the dashboard shows nothing of Banyan's own")
	}
	return all
}

// metricsIn are those that CloudWatch makes of a function's output.
func metricsIn(t *testing.T, output []byte) (all []string) {
	t.Helper()
	for line := range bytes.Lines(output) {
		var head struct {
			AWS struct {
				CloudWatchMetrics []struct {
					Namespace  string
					Dimensions [][]string
					Metrics    []struct{ Name string }
				}
			} `json:"_aws"`
		}
		var body map[string]any
		if json.Unmarshal(line, &head) != nil || json.Unmarshal(line, &body) != nil {
			continue // CloudWatch leaves alone what is none
		}
		for _, m := range head.AWS.CloudWatchMetrics {
			for _, names := range m.Dimensions {
				var dimensions []string
				for _, name := range names {
					dimensions = append(dimensions, fmt.Sprintf("%s=%v", name, body[name]))
				}
				for _, metric := range m.Metrics {
					all = append(all, identity(m.Namespace, metric.Name, dimensions))
				}
			}
		}
	}
	if len(all) == 0 {
		t.Errorf("it wrote no metrics: %s", output)
	}
	return all
}

// invoke runs one of the environment's functions as Lambda does, with one event, and
// returns what it wrote to its standard output.
func invoke(t *testing.T, cfg aws.Config, endpoint, function, event string) []byte {
	t.Helper()
	const patience = 45 * time.Second // a loop polls for half of it; every other function needs a second of an idle machine
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	invocations := make(chan string, 1)
	invocations <- event
	answered := make(chan string, 1)
	api := httptest.NewServer(runtimeAPI(invocations, answered, patience))
	defer api.Close()
	f, _ := configured(t, cfg, function)
	var out, log bytes.Buffer
	process := exec.CommandContext(ctx, filepath.Join(os.Getenv("BANYAN_TERRAFORM_WORK"), "functions", function, "bootstrap"))
	process.Stdout, process.Stderr = &out, &log
	process.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(api.URL, "http://"), "AWS_LAMBDA_FUNCTION_NAME=" + *f.FunctionName,
		"AWS_ENDPOINT_URL=" + endpoint, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_MAX_ATTEMPTS=1",
	}
	if f.Environment != nil {
		for name, value := range f.Environment.Variables {
			process.Env = append(process.Env, name+"="+value)
		}
	}
	process.Env = append(process.Env, "LOG_DRY_RUN=true") // groups stay as Terraform made them
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	select {
	case answer := <-answered:
		t.Logf("%s answers %.200s", function, answer)
		cancel()
		<-ended
	case err := <-ended:
		t.Errorf("%s ended: %v\n%s", function, err, &log)
	}
	return out.Bytes()
}

// runtimeAPI hands out events, and takes the answer to each.
func runtimeAPI(invocations <-chan string, answers chan<- string, patience time.Duration) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, r *http.Request) {
		select {
		case event := <-invocations:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "1")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(patience).UnixMilli()))
			w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:123456789012:function:f:live")
			_, _ = io.WriteString(w, event)
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST /2018-06-01/runtime/", func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		answers <- string(text)
	})
	return mux
}

// delivered is a batch of a stream with an event and with what is none.
func delivered(t *testing.T, _ aws.Config) []string {
	e := must[events.Event](t)(events.New(t.Context(), "/test", social.UserJoined{UserID: "59b99db4cfa9a34dcd7885b6", Name: "Ada", JoinedAt: time.Now()}))
	data := must[[]byte](t)(events.Encode(e))
	var records []string
	for i, data := range [][]byte{data, []byte("no event")} {
		records = append(
			records,
			fmt.Sprintf(`{"eventSource":"aws:kinesis","eventSourceARN":"arn:aws:kinesis:us-east-1:123456789012:stream/`+environment+`-events",`+
				`"eventID":"shardId-000000000000:%d","kinesis":{"sequenceNumber":"%[1]d","partitionKey":"p","data":%q,"approximateArrivalTimestamp":1}}`,
				i+1, base64.StdEncoding.EncodeToString(data)),
		)
	}
	return []string{`{"Records":[` + strings.Join(records, ",") + `]}`}
}

// turns are one turn of a loop of each queue. Its handler does not exist.
func turns(t *testing.T, cfg aws.Config) (all []string) {
	for _, queue := range polled(t, cfg) {
		turn := sqsloop.Turn{Queue: queue, Token: "metrics-turn", Loop: "loop"}
		token(t, cfg, turn, true)
		text, err := json.Marshal(turn)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return all
}

// deadLoops makes a loop of each queue that was never heard of.
func deadLoops(t *testing.T, cfg aws.Config) []string {
	for _, queue := range polled(t, cfg) {
		token(t, cfg, sqsloop.Turn{Queue: queue, Token: "metrics-dead", Loop: "loop"}, false)
	}
	return []string{`{}`}
}

func polled(t *testing.T, cfg aws.Config) (queues []string) {
	t.Helper()
	_, env := configured(t, cfg, "sqsloop")
	settings, err := sqsloop.ParseSettings(env)
	if err != nil {
		t.Fatal(err)
	}
	for _, queue := range settings.Queues {
		queues = append(queues, queue.URL)
	}
	return queues
}

func token(t *testing.T, cfg aws.Config, turn sqsloop.Turn, used bool) {
	t.Helper()
	text := func(s string) dynamotypes.AttributeValue { return &dynamotypes.AttributeValueMemberS{Value: s} }
	item := map[string]dynamotypes.AttributeValue{
		"queue": text(turn.Queue), "token": text(turn.Token), "loop_id": text(turn.Loop), "iteration": &dynamotypes.AttributeValueMemberN{Value: "0"},
	}
	if used {
		item["last_used"] = &dynamotypes.AttributeValueMemberN{Value: fmt.Sprint(time.Now().UnixMilli())}
	}
	_ = must[*dynamodb.PutItemOutput](t)(
		dynamodb.NewFromConfig(cfg).PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(environment + "-sqsloop-loops"), Item: item}),
	)
}
