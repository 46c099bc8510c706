package sqsloop

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Defaults of [Queue], whose other defaults are documented there.
const (
	defaultMax        = 10
	defaultBatch      = 10
	defaultWait       = 20 * time.Second
	defaultVisibility = time.Minute
	defaultStaleAfter = time.Minute
)

// The bounds of SQS: ReceiveMessage in its API reference.
const (
	maxBatch      = 10
	maxWait       = 20 * time.Second
	maxVisibility = 12 * time.Hour
)

// maxLoops bounds Queue.Max: a typing error must not use up an account's
// concurrency, which is 1,000 unless raised.
const maxLoops = 500

// Queue says how one queue is processed. URL and Handler are required; the rest
// has defaults.
type Queue struct {
	// URL of the queue, https://sqs.REGION.amazonaws.com/ACCOUNT/NAME. It is
	// the partition key of the queue's tokens. FIFO queues are refused.
	URL string
	// Handler is the name or ARN of the function that is invoked with the messages,
	// or the name of a handler inside the polling function.
	Handler string
	// Min and Max bound the loops. 0: 1 and 10.
	Min, Max int
	// Stopped ends all loops of the queue, and starts none.
	Stopped bool
	// Batch is how many messages one poll may bring, 1 to 10. 0: 10.
	Batch int
	// Wait is how long a poll waits for messages, at most 20 s. 0: 20 s.
	Wait time.Duration
	// Visibility is how long received messages are hidden from others, in
	// whole seconds. While they are in work this is extended. 0: one minute.
	Visibility time.Duration
	// StaleAfter is how long a loop may send no heartbeat before the restart function
	// replaces it. Heartbeats are sent six times as often, and a loop whose heartbeats
	// failed for half of it stops polling. 0: one minute.
	StaleAfter time.Duration
}

// queueJSON is a Queue as it is written in an environment variable.
type queueJSON struct {
	Queue      string `json:"queue"`
	Handler    string `json:"handler"`
	Min        int    `json:"min"`
	Max        int    `json:"max"`
	Stopped    bool   `json:"stopped"`
	Batch      int    `json:"batch"`
	Wait       int    `json:"wait_seconds"`
	Visibility int    `json:"visibility_seconds"`
	StaleAfter int    `json:"stale_after_seconds"`
}

// ParseQueues reads a JSON array of queues, such as
//
//	[{"queue": "https://sqs.eu-west-1.amazonaws.com/123456789012/mail", "handler": "send-mail", "max": 5}]
//
// with the other fields of [Queue] as min, stopped, batch, wait_seconds,
// visibility_seconds and stale_after_seconds. Unknown fields, queues that are
// not valid and queues that are there twice are errors. The defaults are filled
// in.
func ParseQueues(text []byte) ([]Queue, error) {
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	var raw []queueJSON
	if err := decoder.Decode(&raw); err != nil {
		return nil, fmt.Errorf("sqsloop: the list of queues must be a JSON array of queues: %w", err)
	}
	if decoder.More() {
		return nil, errors.New("sqsloop: unexpected data after the list of queues")
	}
	if len(raw) == 0 {
		return nil, errors.New("sqsloop: the list of queues is empty; to stop a queue, set \"stopped\": true")
	}
	queues, seen := make([]Queue, 0, len(raw)), map[string]bool{}
	for _, j := range raw {
		q := j.queue()
		if err := q.Validate(); err != nil {
			return nil, err
		}
		if seen[q.URL] {
			return nil, fmt.Errorf("sqsloop: queue %s is listed twice", q.URL)
		}
		seen[q.URL] = true
		queues = append(queues, q.withDefaults())
	}
	return queues, nil
}

func (j queueJSON) queue() Queue {
	seconds := func(n int) time.Duration { return time.Duration(n) * time.Second }
	return Queue{
		URL: j.Queue, Handler: j.Handler, Min: j.Min, Max: j.Max, Stopped: j.Stopped, Batch: j.Batch,
		Wait: seconds(j.Wait), Visibility: seconds(j.Visibility), StaleAfter: seconds(j.StaleAfter),
	}
}

// Validate reports all invalid fields.
func (q Queue) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	_, err := parseQueueURL(q.URL)
	check(err == nil, "%w", err)
	check(!strings.HasSuffix(q.URL, ".fifo"), "a FIFO queue: loops would break its order; use an event source mapping")
	check(q.Handler != "", "handler is missing: name a function")
	full := q.withDefaults()
	check(q.Min >= 0 && full.Min <= full.Max, "invalid min %d and max %d: must be 1 <= min <= max", full.Min, full.Max)
	check(full.Max <= maxLoops, "invalid max %d: must be at most %d", full.Max, maxLoops)
	check(full.Batch >= 1 && full.Batch <= maxBatch, "invalid batch %d: must be 1 to %d", full.Batch, maxBatch)
	check(full.Wait >= 0 && full.Wait <= maxWait, "invalid wait %s: must be at most %s", full.Wait, maxWait)
	check(full.Visibility >= time.Second && full.Visibility <= maxVisibility, "invalid visibility %s: must be 1s to %s", full.Visibility, maxVisibility)
	check(full.StaleAfter >= time.Second, "invalid stale_after_seconds %s: must be at least 1s", full.StaleAfter)
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("sqsloop: queue %q: %w", q.URL, errors.Join(errs...))
}

func (q Queue) withDefaults() Queue {
	q.Min = cmp.Or(q.Min, 1)
	q.Max = cmp.Or(q.Max, max(defaultMax, q.Min))
	q.Batch = cmp.Or(q.Batch, defaultBatch)
	q.Wait = cmp.Or(q.Wait, defaultWait)
	q.Visibility = cmp.Or(q.Visibility, defaultVisibility)
	q.StaleAfter = cmp.Or(q.StaleAfter, defaultStaleAfter)
	return q
}

// heartbeat is how often a loop sends heartbeats, lease how long it polls when they
// fail.
func (q Queue) heartbeat() time.Duration { return q.StaleAfter / 6 }
func (q Queue) lease() time.Duration     { return q.StaleAfter / 2 }

// queueName are the parts of a queue's URL.
type queueName struct{ host, account, name string }

func parseQueueURL(s string) (queueName, error) {
	u, err := url.Parse(s)
	if err != nil {
		return queueName{}, fmt.Errorf("the URL of the queue: %w", err)
	}
	account, name, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if (u.Scheme != "https" && u.Scheme != "http") || !ok || account == "" || name == "" || strings.Contains(name, "/") {
		return queueName{}, fmt.Errorf("invalid URL %q of a queue: must look like https://sqs.REGION.amazonaws.com/ACCOUNT/NAME", s)
	}
	return queueName{u.Hostname(), account, name}, nil
}

// matches reports whether this is the queue of that name. A host that is not Amazon's
// has no region in it: that of a sandbox, or of an interface endpoint.
func (n queueName) matches(account, region, name string) bool {
	if n.account != account || n.name != name {
		return false
	}
	return !n.isAmazonHost() || n.region() == region
}

// regionLabel is a region's name: us-east-1, us-gov-west-1.
var regionLabel = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]+$`)

// region is that in a host of Amazon's, "" for any other host: that of a sandbox.
func (n queueName) region() string {
	if n.host == oldHost {
		return "us-east-1"
	}
	if !n.isAmazonHost() {
		return ""
	}
	for label := range strings.SplitSeq(n.host, ".") {
		if regionLabel.MatchString(label) {
			return label
		}
	}
	return ""
}

// oldHost is the legacy host of us-east-1.
const oldHost = "queue.amazonaws.com"

func (n queueName) isAmazonHost() bool {
	return slices.ContainsFunc([]string{".amazonaws.com", ".amazonaws.com.cn", ".api.aws"}, func(end string) bool { return strings.HasSuffix(n.host, end) })
}

// arn is the queue's, as an event source mapping would name it.
func (n queueName) arn(region string) string {
	partition := "aws"
	switch {
	case strings.HasPrefix(region, "cn-"):
		partition = "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		partition = "aws-us-gov"
	}
	return strings.Join([]string{"arn", partition, "sqs", region, n.account, n.name}, ":")
}

// inRegionOf sends a request to the region of its queue. The SDK's client has one region
// for all requests, and no queue of another is known there.
func inRegionOf(url string) func(*sqs.Options) {
	return func(o *sqs.Options) {
		name, err := parseQueueURL(url)
		if region := name.region(); err == nil && region != "" {
			o.Region = region
		}
	}
}

// findQueue returns the queue with that URL.
func findQueue(queues []Queue, url string) (Queue, bool) {
	for _, q := range queues {
		if q.URL == url {
			return q, true
		}
	}
	return Queue{}, false
}
