package cloudwatch

import (
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

const (
	maxBody   = 1 << 20
	maxAlarms = 5000
)

// Config of a Server. The zero value works.
type Config struct {
	// Region and Account appear in ARNs; "" means us-east-1 and 000000000000.
	Region, Account string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Fault is asked before every call; nil injects nothing. Throttle, Internal and
	// Denied refuse it, TimeoutBefore and TimeoutAfter close the connection without
	// an answer, before or after the call took effect, Late holds it back; Partial
	// and Duplicate have no meaning here.
	Fault func(operation, resource string) fault.Fault
}

// Server is a CloudWatch of one account in one region: an http.Handler, safe for
// concurrent use.
type Server struct {
	cfg        Config
	operations map[string]operation

	mu      sync.Mutex
	alarms  map[string]alarm
	history []historyItem
	series  map[string]*series
}

// New makes a server without alarms.
func New(cfg Config) (*Server, error) {
	cfg.Region = cmp.Or(cfg.Region, "us-east-1")
	cfg.Account = cmp.Or(cfg.Account, "000000000000")
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{cfg: cfg, alarms: map[string]alarm{}, series: map[string]*series{}}
	s.operations = map[string]operation{
		"PutMetricAlarm":       of(s.putMetricAlarm),
		"PutCompositeAlarm":    of(s.putCompositeAlarm),
		"DescribeAlarms":       of(s.describeAlarms),
		"SetAlarmState":        of(s.setAlarmState),
		"DescribeAlarmHistory": of(s.describeAlarmHistory),
		"DeleteAlarms":         of(s.deleteAlarms),
		"PutMetricData":        of(s.putMetricData),
		"GetMetricData":        of(s.getMetricData),
	}
	return s, nil
}

// operation runs with its input still encoded.
type operation func(body []byte) (any, error)

// of decodes the input of a function.
func of[In any](do func(*In) (any, error)) operation {
	return func(body []byte) (any, error) {
		in := new(In)
		if len(body) > 0 {
			if err := cbor.Unmarshal(body, in); err != nil {
				return nil, awsjson.Errorf("SerializationException", "the request is not what the operation takes: %v", err)
			}
		}
		return do(in)
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, err := s.call(w, r, operationOf(r))
	if errors.Is(err, errNoAnswer) {
		panic(http.ErrAbortHandler) // closes the connection without an answer
	}
	if err != nil {
		writeError(w, err)
		return
	}
	write(w, http.StatusOK, out)
}

var errNoAnswer = errors.New("no answer")

func (s *Server) call(w http.ResponseWriter, r *http.Request, name string) (any, error) {
	do := s.operations[name]
	if r.Method != http.MethodPost || do == nil {
		return nil, awsjson.NotImplemented(fmt.Sprintf("%s %s %s of CloudWatch", r.Method, r.URL.Path, name))
	}
	body, err := unpacked(w, r)
	if err != nil {
		return nil, awsjson.Errorf("SerializationException", "reading the request: %v", err)
	}
	return s.suffer(r.Context(), name, func() (any, error) { return do(body) })
}

// unpacked reads a body, which the SDK packs where it is large.
func unpacked(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	var body io.Reader = http.MaxBytesReader(w, r.Body, maxBody)
	if r.Header.Get("Content-Encoding") == "gzip" {
		packed, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = http.MaxBytesReader(w, packed, maxBody)
	}
	return io.ReadAll(body)
}

// suffer makes a call under what the fault plan says.
func (s *Server) suffer(ctx context.Context, operation string, call func() (any, error)) (any, error) {
	f := fault.Fault{}
	if s.cfg.Fault != nil {
		f = s.cfg.Fault(operation, "")
	}
	switch f.Kind {
	case fault.Throttle:
		return nil, awsjson.Errorf("ThrottlingException", "Rate exceeded")
	case fault.Internal:
		return nil, awsjson.Internal("an internal error, injected by the fault plan")
	case fault.Denied:
		return nil, &awsjson.Error{Type: "AccessDenied", Message: "not authorized, says the fault plan", Status: http.StatusForbidden}
	case fault.TimeoutBefore:
		_ = backoff.Sleep(ctx, f.Delay)
		return nil, errNoAnswer
	case fault.TimeoutAfter:
		_, _ = call()
		_ = backoff.Sleep(ctx, f.Delay)
		return nil, errNoAnswer
	case fault.Late:
		_ = backoff.Sleep(ctx, f.Delay)
	}
	return call()
}
