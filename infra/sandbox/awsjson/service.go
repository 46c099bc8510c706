package awsjson

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

// DefaultMaxBody bounds a request where a service does not say.
const DefaultMaxBody = 4 << 20

// Service serves the operations of one AWS service. It is an http.Handler,
// safe for concurrent use, and not to be changed once it serves.
type Service struct {
	// Target is the part of X-Amz-Target before the dot.
	Target string
	// Version is "1.0" or "1.1"; it only shows in the content type.
	Version string
	// Operations by name.
	Operations map[string]Operation
	// CBOR says that requests in application/x-amz-cbor-1.1 are answered, in
	// the same: structures as in JSON, bytes as bytes, and timestamps as whole
	// milliseconds with the tag 1.
	CBOR bool
	// MaxBody bounds a request's body in bytes; 0 means DefaultMaxBody.
	MaxBody int64
	// Fault is asked before every call; nil injects nothing.
	Fault func(operation, resource string) fault.Fault
	// Throttled is the service's throttling error; nil means ThrottlingException.
	Throttled *Error
}

// Operation is one decoded and typed operation, made by [Op] or [FaultyOp].
type Operation interface {
	prepare(e encoding, body []byte) (resource string, run func(context.Context, fault.Fault) (any, error), err error)
}

// Resourceful inputs say what they are about (a stream, a queue), for the
// fault plan.
type Resourceful interface{ Resource() string }

// Op makes an operation of a function. A nil *Out answers with an empty body,
// as operations without output do.
func Op[In, Out any](fn func(ctx context.Context, in *In) (*Out, error)) Operation {
	return operation[In, Out](func(ctx context.Context, in *In, _ fault.Fault) (*Out, error) { return fn(ctx, in) })
}

// FaultyOp makes an operation that itself knows how to suffer partial
// failures, duplicates and lateness; the other kinds are injected before it.
func FaultyOp[In, Out any](fn func(ctx context.Context, in *In, f fault.Fault) (*Out, error)) Operation {
	return operation[In, Out](fn)
}

type operation[In, Out any] func(context.Context, *In, fault.Fault) (*Out, error)

func (op operation[In, Out]) prepare(e encoding, body []byte) (string, func(context.Context, fault.Fault) (any, error), error) {
	in := new(In)
	err := decode(e, body, in)
	if unknown, ok := errors.AsType[*Error](err); ok {
		return "", nil, unknown
	}
	if err != nil {
		return "", nil, Errorf("SerializationException", "the request is not what the operation takes: %v", err)
	}
	resource := ""
	if r, ok := any(in).(Resourceful); ok {
		resource = r.Resource()
	}
	return resource, func(ctx context.Context, f fault.Fault) (any, error) {
		out, err := op(ctx, in, f)
		if err != nil || out == nil {
			return nil, err
		}
		return out, nil
	}, nil
}

// decode takes a request without a body for one without members.
func decode(e encoding, body []byte, in any) error {
	if len(body) == 0 {
		return nil
	}
	return e.unmarshal(body, in)
}

// ServeHTTP implements http.Handler.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e, err := s.encodingFor(r.Header.Get("Content-Type"))
	var out any
	if err == nil {
		out, err = s.call(e, r)
	}
	if errors.Is(err, errNoAnswer) {
		panic(http.ErrAbortHandler) // closes the connection without an answer
	}
	if err != nil {
		e.writeError(w, asError(err))
		return
	}
	e.write(w, http.StatusOK, out)
}

var errNoAnswer = errors.New("no answer")

func (s *Service) call(e encoding, r *http.Request) (any, error) {
	name, op, err := s.operation(r)
	if err != nil {
		return nil, err
	}
	body, err := s.body(r)
	if err != nil {
		return nil, err
	}
	resource, run, err := op.prepare(e, body)
	if err != nil {
		return nil, err
	}
	return s.run(r.Context(), s.draw(name, resource), run)
}

func (s *Service) operation(r *http.Request) (string, Operation, error) {
	if r.Method != http.MethodPost {
		return "", nil, &Error{Type: "UnknownOperationException", Message: "AWS JSON calls are POST requests", Status: http.StatusMethodNotAllowed}
	}
	target, name, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if target != s.Target {
		return "", nil, Errorf("UnknownOperationException", "X-Amz-Target %q is not of the service %s", r.Header.Get("X-Amz-Target"), s.Target)
	}
	op, ok := s.Operations[name]
	if !ok {
		return "", nil, NotImplemented(name)
	}
	return name, op, nil
}

func (s *Service) body(r *http.Request) ([]byte, error) {
	limit := s.MaxBody
	limit = cmp.Or(limit, DefaultMaxBody)
	tooLarge := &Error{Type: "RequestEntityTooLargeException", Message: "the request is larger than the service takes", Status: http.StatusRequestEntityTooLarge}
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	body := make([]byte, 0, max(r.ContentLength, 512)+1)
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if int64(len(body)) > limit {
			return nil, tooLarge
		}
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return nil, Errorf("SerializationException", "reading the request: %v", err)
		}
	}
}

func (s *Service) draw(operation, resource string) fault.Fault {
	if s.Fault == nil {
		return fault.Fault{}
	}
	return s.Fault(operation, resource)
}

// run serves one call under a fault.
func (s *Service) run(ctx context.Context, f fault.Fault, run func(context.Context, fault.Fault) (any, error)) (any, error) {
	switch f.Kind {
	case fault.Throttle:
		return nil, s.throttled()
	case fault.Internal:
		return nil, Internal("an internal error, injected by the fault plan")
	case fault.Denied:
		return nil, Errorf("AccessDeniedException", "not authorized, says the fault plan")
	case fault.TimeoutBefore:
		_ = backoff.Sleep(ctx, f.Delay)
		return nil, errNoAnswer
	case fault.TimeoutAfter:
		_, _ = run(ctx, fault.Fault{})
		_ = backoff.Sleep(ctx, f.Delay)
		return nil, errNoAnswer
	}
	return run(ctx, f)
}

func (s *Service) throttled() *Error {
	if s.Throttled != nil {
		return s.Throttled
	}
	return Errorf("ThrottlingException", "Rate exceeded")
}

func (e encoding) write(w http.ResponseWriter, status int, out any) {
	var body []byte
	if out != nil {
		var err error
		if body, err = e.marshal(out); err != nil {
			e.writeError(w, asError(err))
			return
		}
	}
	w.Header().Set("Content-Type", e.contentType)
	w.Header().Set("X-Amzn-RequestId", uuid.NewString())
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away needs no answer
}

func (e encoding) writeError(w http.ResponseWriter, failure *Error) {
	if failure.QueryCode != "" {
		w.Header().Set("X-Amzn-Query-Error", failure.QueryCode+";Sender")
	}
	e.write(w, failure.status(), struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}{failure.Type, failure.Message})
}

// Refuse is a handler that answers every request with one error.
func Refuse(e *Error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		jsonEncoding("1.1").writeError(w, e)
	})
}
