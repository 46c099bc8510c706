package cloudwatch

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/local/awsjson"
	"github.com/banyan-fig/banyan/infra/local/fault"
)

// PathPrefix begins the path of every request, for whoever serves several
// services at one address.
const PathPrefix = "/service/GraniteServiceVersion20100801/operation/"

const (
	protocol    = "rpc-v2-cbor"
	contentType = "application/cbor"
	maxBody     = 1 << 20
	maxAlarms   = 5000
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
	operations map[string]func(body []byte) (any, error)
	encode     cbor.EncMode

	mu     sync.Mutex
	alarms map[string]alarm
	series map[string]*series
}

// New makes a server without alarms.
func New(cfg Config) (*Server, error) {
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	if cfg.Account == "" {
		cfg.Account = "000000000000"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	encode, err := cbor.EncOptions{Time: cbor.TimeUnixDynamic, TimeTag: cbor.EncTagRequired}.EncMode()
	if err != nil {
		return nil, fmt.Errorf("cloudwatch sandbox: options of CBOR: %w", err)
	}
	s := &Server{cfg: cfg, encode: encode, alarms: map[string]alarm{}, series: map[string]*series{}}
	s.operations = map[string]func([]byte) (any, error){
		"PutMetricAlarm":    operation(s.putMetricAlarm),
		"PutCompositeAlarm": operation(s.putCompositeAlarm),
		"DescribeAlarms":    operation(s.describeAlarms),
		"SetAlarmState":     operation(s.setAlarmState),
		"DeleteAlarms":      operation(s.deleteAlarms),
		"PutMetricData":     operation(s.putMetricData),
		"GetMetricData":     operation(s.getMetricData),
	}
	return s, nil
}

// operation decodes the input of a function.
func operation[In any](do func(*In) (any, error)) func([]byte) (any, error) {
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
	out, err := s.call(w, r)
	if errors.Is(err, errNoAnswer) {
		panic(http.ErrAbortHandler) // closes the connection without an answer
	}
	if err != nil {
		s.writeError(w, err)
		return
	}
	s.write(w, http.StatusOK, out)
}

var errNoAnswer = errors.New("no answer")

func (s *Server) call(w http.ResponseWriter, r *http.Request) (any, error) {
	name, known := strings.CutPrefix(r.URL.Path, PathPrefix)
	do := s.operations[name]
	if r.Method != http.MethodPost || r.Header.Get("Smithy-Protocol") != protocol || !known || do == nil {
		return nil, awsjson.NotImplemented(fmt.Sprintf("%s %s of CloudWatch in the protocol %q", r.Method, r.URL.Path, r.Header.Get("Smithy-Protocol")))
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
		hang(ctx, f.Delay)
		return nil, errNoAnswer
	case fault.TimeoutAfter:
		_, _ = call()
		hang(ctx, f.Delay)
		return nil, errNoAnswer
	case fault.Late:
		hang(ctx, f.Delay)
	}
	return call()
}

func hang(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (s *Server) write(w http.ResponseWriter, status int, out any) {
	body, err := s.encode.Marshal(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Smithy-Protocol", protocol)
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Amzn-Requestid", uuid.NewString())
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away needs no answer
}

func (s *Server) writeError(w http.ResponseWriter, err error) {
	var e *awsjson.Error
	if !errors.As(err, &e) {
		e = awsjson.Internal("the sandbox failed: " + err.Error())
	}
	status := e.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	s.write(w, status, map[string]string{"__type": "com.amazonaws.cloudwatch#" + e.Type, "message": e.Message})
}
