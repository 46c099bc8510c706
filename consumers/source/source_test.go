package source_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/source"
	"github.com/banyan-fig/banyan/events/correlation"
)

var all = []source.Source{
	source.Kinesis(), source.DynamoDB(), source.Kafka(), source.SQS(), source.SNS(), source.EventBridge(), source.S3(), source.Firehose(),
}

// examples are the invocations that aws-lambda-go has of each service.
func examples(t *testing.T) map[string][]byte {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-lambda-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "events", "testdata", "*.json"))
	if err != nil || len(files) < 50 {
		t.Fatalf("%d examples in %s, %v", len(files), dir, err)
	}
	all := map[string][]byte{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = content
	}
	return all
}

// function is a consumer that notes what it is given, and fails where it is told to.
type function struct {
	t    *testing.T
	fail func(consumers.Message) error

	mu  sync.Mutex
	got []consumers.Message
}

func (f *function) consumer() *consumers.Consumer {
	f.t.Helper()
	c, err := consumers.New(consumers.Config{Name: "test", Policy: consumers.Halt, Attempts: 1, Handler: func(_ context.Context, m consumers.Message) error {
		if f.fail != nil {
			if err := f.fail(m); err != nil {
				return err
			}
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.got = append(f.got, m)
		return nil
	}})
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f *function) invoke(payload []byte, sources ...source.Source) (string, error) {
	f.t.Helper()
	answer, err := source.Handle(f.t.Context(), f.consumer(), sources, payload)
	text, failed := json.Marshal(answer)
	if failed != nil {
		f.t.Fatal(failed)
	}
	return string(text), err
}

// TestEachInvocationIsOfOneSource: the examples of aws-lambda-go, each to a function of every
// source but one. What is of a source is handled by it and by no other.
func TestEachInvocationIsOfOneSource(t *testing.T) {
	of := map[string]string{
		"dynamodb-event": "dynamodb", "dynamodb-time-window-event": "dynamodb",
		"kafka-event": "kafka", "kinesis-event": "kinesis", "kinesis-time-window-event": "kinesis", "kinesis-firehose-event": "firehose",
		"s3-event": "s3", "s3-event-with-decoded": "s3", "s3-glacier-event": "s3", "s3-intelligenttier-event": "s3",
		"s3-lifecycle-event": "s3", "s3-replication-event": "s3", "s3-restore-event": "s3",
		"sqs-event": "sqs", "sns-event": "sns", "cloudwatch-alarm-sns-payload-single-metric": "sns", "cloudwatch-alarm-sns-payload-multiple-metrics": "sns",
		"ecr-image-scan-event": "eventbridge",
	}
	for name, payload := range examples(t) {
		if !json.Valid(payload) {
			continue
		}
		want, known := of[name]
		if strings.Contains(string(payload), `"detail-type"`) {
			want, known = "eventbridge", true
		}
		for _, s := range all {
			f := &function{t: t}
			_, err := f.invoke(payload, s)
			refused := errors.Is(err, source.ErrInvocation) && strings.Contains(err.Error(), "takes "+s.Name()+" only")
			if is := known && want == s.Name(); is == refused {
				t.Errorf("%s to a function of %s: %v", name, s.Name(), err)
			}
			if refused && len(f.got) > 0 {
				t.Errorf("%s was refused by %s and handled", name, s.Name())
			}
		}
		f := &function{t: t}
		if _, err := f.invoke(payload, source.Direct(source.Raw)); err != nil || len(f.got) != 1 || string(f.got[0].Raw) != string(payload) {
			t.Errorf("%s directly: %v, got %d", name, err, len(f.got))
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	samples := examples(t)
	for name, c := range map[string]struct{ payload, want string }{
		"not JSON":        {`{"Records":`, "not JSON"},
		"empty":           {``, "the payload of 0 bytes is not JSON"},
		"a list":          {`[1]`, "a payload without members"},
		"another service": {`{"Records":[{"eventSource":"aws:codecommit"}]}`, "an invocation of aws:codecommit, and this function takes kinesis, dynamodb"},
		"records of none": {`{"Records":[]}`, `the members ["Records"]`},
		"no records":      {`{"Records":{"a":1}}`, `the members ["Records"]`},
		"HTTP":            {string(samples["apigw-request"]), "an HTTP request"},
		"a window":        {string(samples["kinesis-time-window-event"]), "tumbling window"},
		"a table's":       {string(samples["dynamodb-time-window-event"]), "tumbling window"},
		"records as text": {`{"Records":[{"eventSource":"aws:sqs","body":1}]}`, "invalid invocation"},
	} {
		f := &function{t: t}
		_, err := f.invoke([]byte(c.payload), all...)
		if !errors.Is(err, source.ErrInvocation) || !strings.Contains(err.Error(), c.want) || len(f.got) > 0 {
			t.Errorf("%s: %v, want %q; handled %d", name, err, c.want, len(f.got))
		}
	}
}

const cloudEvent = `{"specversion":"1.0","id":"1","source":"/shop","type":"order.placed","dataversion":1,"time":"2026-11-30T10:00:00Z",` +
	`"partitionkey":"ada","sequence":"01796059420000199999","data":{"cents":1}}`

func quoted(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

// TestWhatAMessageHas: by source, and by what carries what.
func TestWhatAMessageHas(t *testing.T) {
	samples := examples(t)
	sqs := func(body string) string {
		return `{"Records":[{"messageId":"m","body":` + quoted(body) + `,"eventSource":"aws:sqs","attributes":{"ApproximateReceiveCount":"2"}}]}`
	}
	notification := `{"Type":"Notification","MessageId":"n","TopicArn":"arn:aws:sns:eu-west-1:1:t","Message":` + quoted(cloudEvent) +
		`,"MessageAttributes":{"tenant":{"Type":"String","Value":"ada"}}}`
	bridged := `{"version":"0","id":"b","detail-type":"order","source":"shop","time":"2026-11-30T10:00:00Z","resources":["r"],"detail":`
	for name, c := range map[string]struct {
		payload string
		with    []source.Source
		want    string // source, event's id and type, subject, raw, receives, an attribute
	}{
		"sqs":                 {sqs("text"), nil, `sqs "" "" "" text 2 ""`},
		"an example of sqs":   {string(samples["sqs-event"]), nil, `sqs "" "" "" Message Body 2 ""`},
		"an event in sqs":     {sqs(cloudEvent), nil, `sqs "1" "order.placed" "" ` + cloudEvent + ` 2 ""`},
		"taken raw":           {sqs(cloudEvent), []source.Source{source.SQS(source.Raw)}, `sqs "" "" "" ` + cloudEvent + ` 2 ""`},
		"sns through sqs":     {sqs(notification), nil, `sqs "1" "order.placed" "" ` + cloudEvent + ` 2 "ada"`},
		"that raw":            {sqs(notification), []source.Source{source.SQS(source.Raw)}, `sqs "" "" "" ` + notification + ` 2 ""`},
		"eventbridge":         {bridged + `{"a":1}}`, nil, `eventbridge "b" "order" "r" ` + bridged + `{"a":1}} 0 ""`},
		"an event in it":      {bridged + cloudEvent + `}`, nil, `eventbridge "1" "order.placed" "" ` + cloudEvent + ` 0 ""`},
		"that through sqs":    {sqs(bridged + cloudEvent + `}`), nil, `sqs "1" "order.placed" "" ` + cloudEvent + ` 2 ""`},
		"sns":                 {string(samples["sns-event"]), nil, `sns "" "" "" Hello from SNS! 0 ""`},
		"firehose":            {`{"invocationId":"i","deliveryStreamArn":"d","records":[{"recordId":"r","data":"YQ=="}]}`, nil, `firehose "" "" "" a 0 ""`},
		"kafka":               {string(samples["kafka-event"]), nil, `kafka "" "" "" 8d5596b4-1813-4238-b24b-6dad8e3d1c0c 0 ""`},
		"a person":            {`{"name":"ada"}`, []source.Source{source.SQS(), source.Direct()}, `direct "" "" "" {"name":"ada"} 0 ""`},
		"an order of another": {sqs(`{"id":"1","detail-type":7}`), nil, `sqs "" "" "" {"id":"1","detail-type":7} 2 ""`},
	} {
		f := &function{t: t}
		sources := c.with
		if sources == nil {
			sources = all
		}
		if _, err := f.invoke([]byte(c.payload), sources...); err != nil || len(f.got) != 1 {
			t.Errorf("%s: %v, got %d", name, err, len(f.got))
			continue
		}
		m := f.got[0]
		got := fmt.Sprintf("%s %q %q %q %s %d %q", m.Source, m.Event.ID, m.Event.Type, m.Event.Subject, m.Raw, m.Receives, m.Attributes["tenant"])
		if got != c.want || m.Record == nil && m.Source != "direct" {
			t.Errorf("%s: %s, record %T\nwant %s", name, got, m.Record, c.want)
		}
	}
}

// TestIDsOfAMessage: by the place that each source, and DAZN's powertools, have for them.
func TestIDsOfAMessage(t *testing.T) {
	const carried = `"x-correlation-id":"c","debug-log-enabled":"true","call-chain-length":"2"`
	attributes := `{"x-correlation-id":{"stringValue":"c"},"debug-log-enabled":{"stringValue":"true"},"call-chain-length":{"stringValue":"2"}}`
	named := `{"x-correlation-id":{"Value":"c"},"debug-log-enabled":{"Value":"true"},"call-chain-length":{"Value":"2"}}`
	within := `{"a":1,"__context__":{` + carried + `}}`
	event := `{"version":"0","id":"b","detail-type":"order","source":"shop","time":"2026-11-30T10:00:00Z","detail":` + within + `}`
	want := correlation.IDs{CorrelationID: "c", Debug: true, Chain: 3}
	for name, payload := range map[string]string{
		"sqs":             `{"Records":[{"messageId":"m","body":"x","eventSource":"aws:sqs","messageAttributes":` + attributes + `}]}`,
		"a body in sqs":   `{"Records":[{"messageId":"m","body":` + quoted(within) + `,"eventSource":"aws:sqs"}]}`,
		"sns":             `{"Records":[{"EventSource":"aws:sns","Sns":{"Message":"x","MessageAttributes":` + named + `}}]}`,
		"sns through sqs": `{"Records":[{"messageId":"m","eventSource":"aws:sqs","body":` + quoted(`{"Type":"Notification","TopicArn":"t","Message":"x","MessageAttributes":`+named+`}`) + `}]}`,
		"eventbridge":     event,
		"that in sqs":     `{"Records":[{"messageId":"m","body":` + quoted(event) + `,"eventSource":"aws:sqs"}]}`,
		"direct":          within,
	} {
		var got correlation.IDs
		c, err := consumers.New(consumers.Config{Name: "test", Policy: consumers.Halt, Handler: func(ctx context.Context, _ consumers.Message) error {
			got = correlation.From(ctx)
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := source.Handle(t.Context(), c, append(slices.Clone(all), source.Direct()), []byte(payload)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		expected := want
		if strings.Contains(payload, "detail-type") {
			expected.CausationID = "b"
		}
		if got != expected {
			t.Errorf("%s: %+v, want %+v", name, got, expected)
		}
	}
}

// TestAClaimThatDoesNotHold: a body that says it is a CloudEvent and is not one that can be
// decoded is no success.
func TestAClaimThatDoesNotHold(t *testing.T) {
	body := strings.Replace(cloudEvent, `"time":"2026`, `"time":"26`, 1)
	f := &function{t: t}
	answer, err := f.invoke([]byte(`{"Records":[{"messageId":"m","body":`+quoted(body)+`,"eventSource":"aws:sqs"}]}`), source.SQS())
	if err != nil || answer != `{"batchItemFailures":[{"itemIdentifier":"m"}]}` || len(f.got) > 0 {
		t.Errorf("%s, %v, handled %d", answer, err, len(f.got))
	}
}

// TestFailuresAreReported: batches of each source, of which some fail at random, against the
// rule of the source: nothing that is not finished may be taken for finished.
func TestFailuresAreReported(t *testing.T) {
	for range 300 {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 0))
		n := 1 + r.IntN(12)
		bad, group := make([]bool, n), make([]int, n)
		for i := range n {
			bad[i], group[i] = r.IntN(4) == 0, r.IntN(3)
		}
		for name, s := range sampled {
			f := &function{t: t, fail: func(m consumers.Message) error {
				if bad[index(m)] {
					return errors.New("bad")
				}
				return nil
			}}
			answer, err := f.invoke([]byte(s.payload(bad, group)), s.source)
			if got, want := fmt.Sprint(answer, err != nil), s.want(bad, group); got != want {
				t.Fatalf("seed %d: %s of %v in %v: %s, want %s", seed, name, bad, group, got, want)
			}
			checkOrder(t, seed, name, f.got, group)
		}
	}
}

// index is the number of a message in its batch, which the payloads below contain.
func index(m consumers.Message) (i int) {
	raw := string(m.Raw)
	if _, at, ok := strings.Cut(raw, "number "); ok {
		raw = at
	}
	fmt.Sscan(raw, &i)
	return i
}

// checkOrder makes sure that those of one group were handled in order where the source is
// in order.
func checkOrder(t *testing.T, seed uint64, name string, got []consumers.Message, group []int) {
	t.Helper()
	last := map[int]int{}
	for _, m := range got {
		i := index(m)
		if before, ok := last[group[i]]; ok && before > i && (name == "fifo" || name == "dynamodb") {
			t.Fatalf("seed %d: %s: number %d after %d", seed, name, i, before)
		}
		last[group[i]] = i
	}
}

type sample struct {
	source  source.Source
	payload func(bad []bool, group []int) string
	want    func(bad []bool, group []int) string
}

func list(n int, record func(i int) string) string {
	records := make([]string, n)
	for i := range n {
		records[i] = record(i)
	}
	return strings.Join(records, ",")
}

func reported(ids []string) string {
	for i, id := range ids {
		ids[i] = `{"itemIdentifier":` + id + `}`
	}
	return `{"batchItemFailures":[` + strings.Join(ids, ",") + `]}false`
}

var sampled = map[string]sample{
	"sqs": {source.SQS(), func(bad []bool, _ []int) string {
		return `{"Records":[` + list(len(bad), func(i int) string {
			return fmt.Sprintf(`{"messageId":"m%d","body":"%d","eventSource":"aws:sqs","attributes":{"MessageGroupId":"g"}}`, i, i)
		}) + `]}`
	}, func(bad []bool, _ []int) string {
		var ids []string
		for i := range bad {
			if bad[i] {
				ids = append(ids, fmt.Sprintf(`"m%d"`, i))
			}
		}
		return reported(ids)
	}},
	"fifo": {source.SQS(), func(bad []bool, group []int) string {
		return `{"Records":[` + list(len(bad), func(i int) string {
			return fmt.Sprintf(`{"messageId":"m%d","body":"%d","eventSource":"aws:sqs","attributes":{"SequenceNumber":"%d","MessageGroupId":"g%d"}}`,
				i, i, i+1, group[i])
		}) + `]}`
	}, func(bad []bool, group []int) string {
		var ids []string
		for i := range bad {
			if slices.ContainsFunc(slices.Collect(upTo(i)), func(j int) bool { return bad[j] && group[j] == group[i] }) {
				ids = append(ids, fmt.Sprintf(`"m%d"`, i))
			}
		}
		return reported(ids)
	}},
	"dynamodb": {source.DynamoDB(), func(bad []bool, group []int) string {
		return `{"Records":[` + list(len(bad), func(i int) string {
			return fmt.Sprintf(`{"note":"number %d ","eventSource":"aws:dynamodb","eventSourceARN":"s","dynamodb":{"SequenceNumber":"%d","Keys":{"id":{"N":"%d"}}}}`,
				i, 100+i, group[i])
		}) + `]}`
	}, func(bad []bool, _ []int) string {
		if i := slices.Index(bad, true); i >= 0 {
			return reported([]string{fmt.Sprintf(`"%d"`, 100+i)})
		}
		return reported(nil)
	}},
	"eventbridge": {source.EventBridge(), func([]bool, []int) string {
		return `{"version":"0","id":"number 0 ","detail-type":"t","source":"s","time":"2026-11-30T10:00:00Z","detail":{}}`
	}, func(bad []bool, _ []int) string { return fmt.Sprint("null", bad[0]) }},
	"sns": {source.SNS(), func(bad []bool, _ []int) string {
		return `{"Records":[` + list(len(bad), func(i int) string { return fmt.Sprintf(`{"EventSource":"aws:sns","Sns":{"Message":"%d"}}`, i) }) + `]}`
	}, func(bad []bool, _ []int) string { return fmt.Sprint("null", slices.Contains(bad, true)) }},
	"firehose": {source.Firehose(), func(bad []bool, _ []int) string {
		return `{"invocationId":"i","deliveryStreamArn":"d","records":[` + list(len(bad), func(i int) string {
			text, _ := json.Marshal([]byte(fmt.Sprint(i)))
			return fmt.Sprintf(`{"recordId":"r%d","data":%s}`, i, text)
		}) + `]}`
	}, func(bad []bool, _ []int) string {
		return `{"records":[` + list(len(bad), func(i int) string {
			result, data := "Ok", []byte(fmt.Sprint(i))
			if bad[i] {
				result, data = "ProcessingFailed", nil
			}
			text, _ := json.Marshal(data)
			return fmt.Sprintf(`{"recordId":"r%d","result":"%s","data":%s,"metadata":{"partitionKeys":null,"otfMetadata":`+
				`{"destinationDatabaseName":"","destinationTableName":"","operation":""}}}`, i, result, text)
		}) + `]}false`
	}},
}

func upTo(i int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for j := 0; j <= i && yield(j); j++ {
		}
	}
}

// TestTheRestOfALaneIsReported: records of Kafka behind one that failed are not finished,
// whether they were handled or not; those of other partitions are.
func TestTheRestOfALaneIsReported(t *testing.T) {
	record := func(partition, offset int) string {
		return fmt.Sprintf(`{"topic":"t","partition":%d,"offset":%d,"timestamp":1,"value":"MQ==","headers":[{"tenant":[97]}]}`, partition, offset)
	}
	payload := `{"eventSource":"SelfManagedKafka","bootstrapServers":"b","records":{"t-1":[` + record(1, 7) + `,` + record(1, 8) +
		`],"t-0":[` + record(0, 7) + `,` + record(0, 8) + `]}}`
	f := &function{t: t, fail: func(m consumers.Message) error {
		if m.Shard == "t-1" {
			return errors.New("bad")
		}
		return nil
	}}
	answer, err := f.invoke([]byte(payload), source.Kafka())
	want := `{"batchItemFailures":[{"itemIdentifier":{"partition":"t-1","offset":7}},{"itemIdentifier":{"partition":"t-1","offset":8}}]}`
	if err != nil || answer != want || len(f.got) != 2 || f.got[0].Attributes["tenant"] != "a" {
		t.Errorf("%s, %v, handled %v", answer, err, f.got)
	}
}

// TestATransformation: what a handler makes of a record of Firehose, and one that does not
// come back.
func TestATransformation(t *testing.T) {
	stuck := make(chan struct{})
	defer close(stuck)
	c, err := consumers.New(consumers.Config{Name: "test", Policy: consumers.Halt, Handler: func(_ context.Context, m consumers.Message) error {
		out := m.Record.(*source.Transformed)
		switch string(out.Data) {
		case "drop":
			out.Drop = true
		case "stuck":
			<-stuck
		case "large":
			out.Output = make([]byte, 5<<20)
		default:
			out.Output = []byte("HELLO")
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	answer, err := source.Handle(ctx, c, all, []byte(`{"invocationId":"i","deliveryStreamArn":"d","records":[`+
		`{"recordId":"1","data":"aGVsbG8="},{"recordId":"2","data":"ZHJvcA=="},{"recordId":"3","data":"c3R1Y2s="},{"recordId":"4","data":"bGFyZ2U="}]}`))
	text, _ := json.Marshal(answer)
	for _, want := range []string{
		`"recordId":"1","result":"Ok","data":"SEVMTE8="`, `"recordId":"2","result":"Dropped","data":null`,
		`"recordId":"3","result":"ProcessingFailed","data":null`, `"recordId":"4","result":"ProcessingFailed","data":null`,
	} {
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%.2000s, %v, want %s", text, err, want)
		}
	}
}

// TestDeadLetters: the change of a table that cannot be handled is kept and redriven as what it was, and a
// queue's message is left to the queue.
func TestDeadLetters(t *testing.T) {
	letters, bad := &kept{}, errors.New("bad")
	var got []consumers.Message
	c, err := consumers.New(consumers.Config{
		Name: "test", DeadLetters: letters, Concurrency: 1, Handler: func(_ context.Context, m consumers.Message) error {
			if bad == nil {
				got = append(got, m)
			}
			return consumers.Permanent(bad)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"dynamodb": `{"batchItemFailures":[]}`,
		"sqs":      `{"batchItemFailures":[{"itemIdentifier":"m0"},{"itemIdentifier":"m1"},{"itemIdentifier":"m2"}]}`,
	} {
		payload := strings.ReplaceAll(sampled[name].payload(make([]bool, 3), make([]int, 3)), `"eventSourceARN":"s"`,
			`"eventSourceARN":"arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/2026-11-30T00:00:00.000"`)
		answer, err := source.Handle(t.Context(), c, all, []byte(payload))
		if text, _ := json.Marshal(answer); err != nil || string(text) != want {
			t.Errorf("%s: %s, %v, want %s", name, text, err, want)
		}
	}
	if len(letters.all) != 3 {
		t.Fatalf("%d dead letters, want those of the table", len(letters.all))
	}
	bad = nil
	for _, letter := range letters.all {
		if err := source.Redrive(c)(t.Context(), letter); err != nil {
			t.Error(err)
		}
	}
	for i, m := range got {
		change, ok := m.Record.(awsevents.DynamoDBEventRecord)
		if !ok || m.Source != "dynamodb" || m.Position != letters.all[i].Position || change.Change.Keys["id"].Number() != "0" {
			t.Errorf("redriven as %+v", m)
		}
	}
	if len(got) != 3 {
		t.Errorf("redriven %d", len(got))
	}
}

// kept is a store of dead letters as short as can be; package deadletter has the one of programs.
type kept struct {
	mu  sync.Mutex
	all []consumers.DeadLetter
}

func (k *kept) Put(_ context.Context, d consumers.DeadLetter) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = append(k.all, d)
	return nil
}

func FuzzHandle(f *testing.F) {
	for _, s := range sampled {
		f.Add([]byte(s.payload([]bool{false, true}, []int{0, 1})))
	}
	f.Add([]byte(`{"Records":[{"eventSource":"aws:sqs","body":"{\"detail-type\":\"\",\"id\":\"1\",\"detail\":{\"specversion\":1}}"}]}`))
	c, err := consumers.New(consumers.Config{Name: "test", Policy: consumers.Halt, Handler: func(context.Context, consumers.Message) error { return nil }})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		answer, err := source.Handle(t.Context(), c, all, payload)
		if err == nil && !json.Valid(payload) {
			t.Fatalf("%v for %q", answer, payload)
		}
	})
}
