package logs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

// Target is the prefix of X-Amz-Target by which requests are recognised.
const Target = "Logs_20140328"

// Kinesis is where deliveries go. A *kinesis.Client is one; it should not retry
// by itself.
type Kinesis interface {
	PutRecord(context.Context, *kinesis.PutRecordInput, ...func(*kinesis.Options)) (*kinesis.PutRecordOutput, error)
}

// Config of a server. The zero value works, but for subscriptions.
type Config struct {
	// Region and Account appear in ARNs and deliveries; "" means us-east-1 and
	// 000000000000.
	Region, Account string
	// Kinesis takes the deliveries; nil refuses subscription filters.
	Kinesis Kinesis
	// MaxWaiting bounds the deliveries that wait; 0 means 10,000.
	MaxWaiting int
	// Retry is the pause before a delivery is tried again; 0 means 20 ms.
	Retry time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Fault is asked before every call, and before every delivery as the
	// operation Deliver of a log group; nil injects nothing. Partial is a conflict
	// with another change of the group. Of a delivery, Duplicate and TimeoutAfter
	// put it twice, Late holds it back, and the others cost an attempt.
	Fault func(operation, resource string) fault.Fault
}

const (
	defaultRegion  = "us-east-1"
	defaultAccount = "000000000000"
	defaultWaiting = 10_000
	defaultRetry   = 20 * time.Millisecond
)

// Validate names the first field that makes no sense.
func (c Config) Validate() error {
	if c.MaxWaiting < 0 || c.Retry < 0 {
		return errors.New("logs sandbox: MaxWaiting and Retry must not be negative")
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.Region = cmp.Or(c.Region, defaultRegion)
	c.Account = cmp.Or(c.Account, defaultAccount)
	c.MaxWaiting = cmp.Or(c.MaxWaiting, defaultWaiting)
	c.Retry = cmp.Or(c.Retry, defaultRetry)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Server holds the log groups of one account. It is an http.Handler, safe for
// concurrent use. It owns a goroutine that delivers: end it with Close.
type Server struct {
	cfg     Config
	service awsjson.Service

	mu     sync.Mutex
	groups map[string]*group
	events uint64 // taken so far, for their ids

	waiting     chan delivery
	pending     atomic.Int64 // those waiting, and the one on its way
	undelivered atomic.Int64
	stop        context.CancelFunc
	done        sync.WaitGroup
}

// New makes a server without log groups. The error is Config.Validate's.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg.withDefaults(), groups: map[string]*group{}}
	s.waiting = make(chan delivery, s.cfg.MaxWaiting)
	s.service = awsjson.Service{
		Target: Target, Version: "1.1", Fault: cfg.Fault,
		Operations: map[string]awsjson.Operation{
			"CreateLogGroup":              awsjson.FaultyOp(s.createLogGroup),
			"DescribeLogGroups":           awsjson.Op(s.describeLogGroups),
			"PutRetentionPolicy":          awsjson.FaultyOp(s.putRetentionPolicy),
			"CreateLogStream":             awsjson.FaultyOp(s.createLogStream),
			"PutLogEvents":                awsjson.Op(s.putLogEvents),
			"PutSubscriptionFilter":       awsjson.FaultyOp(s.putSubscriptionFilter),
			"DescribeSubscriptionFilters": awsjson.Op(s.describeSubscriptionFilters),
		},
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.done.Go(func() { s.deliver(ctx) })
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.service.ServeHTTP(w, r) }

// Close ends the deliveries; what waits is lost.
func (s *Server) Close() {
	s.stop()
	s.done.Wait()
}

// Waiting is how many deliveries are not done with.
func (s *Server) Waiting() int { return int(s.pending.Load()) }

// Undelivered is how many deliveries were given up because their stream is gone.
func (s *Server) Undelivered() int { return int(s.undelivered.Load()) }

var (
	groupName  = regexp.MustCompile(`^[.\-_/#A-Za-z0-9]{1,512}$`)
	streamName = regexp.MustCompile(`^[^:*]{1,512}$`)
)

// groupRef is how most requests name their group.
type groupRef struct {
	LogGroupName string `json:"logGroupName"`
}

// Resource implements awsjson.Resourceful.
func (r groupRef) Resource() string { return r.LogGroupName }

// locked runs change on a group while nobody else does. A partial fault is a
// conflict.
func (s *Server) locked(ref groupRef, f fault.Fault, change func(*group) error) error {
	if f.Kind == fault.Partial {
		return awsjson.Errorf("OperationAbortedException", "Multiple concurrent requests to update the same resource were in conflict.")
	}
	if !groupName.MatchString(ref.LogGroupName) {
		return invalid("1 validation error detected: Value '%s' at 'logGroupName' failed to satisfy constraint", ref.LogGroupName)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[ref.LogGroupName]
	if g == nil {
		return notFound("The specified log group does not exist.")
	}
	return change(g)
}

func (s *Server) arn(group string) string {
	return fmt.Sprintf("arn:aws:logs:%s:%s:log-group:%s", s.cfg.Region, s.cfg.Account, group)
}

func invalid(format string, args ...any) error {
	return awsjson.Errorf("InvalidParameterException", format, args...)
}

func notFound(text string) error { return awsjson.Errorf("ResourceNotFoundException", "%s", text) }
