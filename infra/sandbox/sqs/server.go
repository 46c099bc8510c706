package sqs

import (
	"cmp"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

// Target is the prefix of X-Amz-Target by which requests are recognised.
const Target = "AmazonSQS"

// Config of a server. The zero value works.
type Config struct {
	// Region and Account appear in ARNs and URLs; "" means us-east-1 and
	// 000000000000.
	Region, Account string
	// URL is how clients reach the server, for queue URLs; "" means
	// http://localhost. The official clients do not connect to it but to
	// their endpoint.
	URL string
	// MaxQueueBytes bounds the bodies and attributes a queue holds; 0 means
	// 256 MiB.
	MaxQueueBytes int64
	// Now is the clock; nil means time.Now. Long polls wait in real time.
	Now func() time.Time
	// Fault is asked before every call; nil injects nothing. Partial fails
	// some entries of a batch; Duplicate lets the received messages survive
	// their first delete and come again, which the service does when a server
	// that holds a copy was away; Late delays the messages of a send.
	Fault func(operation, resource string) fault.Fault
}

// Validate reports the first field that makes no sense.
func (c Config) Validate() error {
	if c.MaxQueueBytes < 0 || c.MaxQueueBytes > 0 && c.MaxQueueBytes < maxMessageSize {
		return fmt.Errorf("sqs sandbox: MaxQueueBytes %d is less than one message may have (%d)", c.MaxQueueBytes, maxMessageSize)
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.Region = cmp.Or(c.Region, "us-east-1")
	c.Account = cmp.Or(c.Account, "000000000000")
	c.URL = cmp.Or(c.URL, "http://localhost")
	c.MaxQueueBytes = cmp.Or(c.MaxQueueBytes, 256<<20)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Server holds the queues of one account. It is an http.Handler, safe for
// concurrent use, owns no goroutine and needs no closing; long polls end with
// their requests.
type Server struct {
	cfg     Config
	service awsjson.Service

	mu     sync.RWMutex // never taken while a queue is locked
	queues map[string]*queue
}

// New makes a server without queues. The error is Config.Validate's.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg.withDefaults(), queues: map[string]*queue{}}
	s.service = awsjson.Service{
		Target:  Target,
		Version: "1.0",
		MaxBody: 8 << 20, // 1 MiB of text, escaped
		Fault:   cfg.Fault,
		Throttled: &awsjson.Error{Type: "RequestThrottled", Message: "Rate exceeded, injected by the fault plan",
			Status: http.StatusForbidden, QueryCode: "RequestThrottled"},
		Operations: map[string]awsjson.Operation{
			"CreateQueue":                  awsjson.Op(s.createQueue),
			"GetQueueUrl":                  awsjson.Op(s.getQueueURL),
			"GetQueueAttributes":           awsjson.Op(s.getQueueAttributes),
			"SendMessage":                  awsjson.FaultyOp(s.sendMessage),
			"SendMessageBatch":             awsjson.FaultyOp(s.sendMessageBatch),
			"ReceiveMessage":               awsjson.FaultyOp(s.receiveMessage),
			"DeleteMessageBatch":           awsjson.FaultyOp(s.deleteMessageBatch),
			"ChangeMessageVisibilityBatch": awsjson.FaultyOp(s.changeMessageVisibilityBatch),
		},
	}
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.service.ServeHTTP(w, r) }

// queueRef is how most requests name their queue.
type queueRef struct{ QueueUrl string }

// Resource implements awsjson.Resourceful.
func (r queueRef) Resource() string { return r.name() }

func (r queueRef) name() string {
	if r.QueueUrl == "" {
		return ""
	}
	return path.Base(r.QueueUrl)
}

func (s *Server) url(name string) string {
	return strings.TrimSuffix(s.cfg.URL, "/") + "/" + s.cfg.Account + "/" + name
}

func (s *Server) arn(name string) string {
	return fmt.Sprintf("arn:aws:sqs:%s:%s:%s", s.cfg.Region, s.cfg.Account, name)
}

func (s *Server) queue(name string) (*queue, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if q := s.queues[name]; q != nil {
		return q, nil
	}
	return nil, errorWithCode("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist: %s", name)
}

func errorWithCode(errorType, queryCode, format string, args ...any) *awsjson.Error {
	e := awsjson.Errorf(errorType, format, args...)
	e.QueryCode = queryCode
	return e
}

// invalid is the error for values out of bounds, which the service does not
// model.
func invalid(format string, args ...any) *awsjson.Error {
	return errorWithCode("InvalidParameterValueException", "InvalidParameterValue", format, args...)
}
