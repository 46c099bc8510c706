package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/uuid"
)

// The limits of HTTP APIs.
const (
	MaxTimeout = 30 * time.Second
	MaxBody    = 10 << 20
	MaxHeader  = 10240
)

// maxEvent is the most that Lambda takes.
const maxEvent = 6 << 20

// Invoker invokes functions. A *lambda.Client is one.
type Invoker interface {
	Invoke(context.Context, *lambda.InvokeInput, ...func(*lambda.Options)) (*lambda.InvokeOutput, error)
}

// Config of an API. Lambda and Function are required.
type Config struct {
	Lambda Invoker
	// Function is a name or an ARN, with an alias or without.
	Function string
	// Stage is the first segment of all paths; "" or "$default": there is none.
	Stage string
	// Timeout of the integration, at most MaxTimeout; 0: MaxTimeout.
	Timeout time.Duration
	// Logger gets what clients are not told; nil: slog.Default().
	Logger *slog.Logger
}

const defaultStage = "$default"

var stagePattern = regexp.MustCompile(`^(\$default|[A-Za-z0-9_-]{1,128})?$`)

// Validate names the first field that makes no sense.
func (c Config) Validate() error {
	switch {
	case c.Lambda == nil:
		return errors.New("httpapi: Lambda is nil")
	case c.Function == "":
		return errors.New("httpapi: no Function is named")
	case !stagePattern.MatchString(c.Stage):
		return fmt.Errorf("httpapi: the stage %q: letters, digits, - and _ are wanted, 128 at most", c.Stage)
	case c.Timeout < 0 || c.Timeout > MaxTimeout:
		return fmt.Errorf("httpapi: the timeout %s: it must not be negative nor more than %s", c.Timeout, MaxTimeout)
	}
	return nil
}

type gateway struct{ cfg Config }

// New makes the API. It is safe for concurrent use. The error is Config.Validate's.
func New(cfg Config) (http.Handler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Stage = cmp.Or(cfg.Stage, defaultStage)
	cfg.Timeout = cmp.Or(cfg.Timeout, MaxTimeout)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &gateway{cfg}, nil
}

// ServeHTTP implements http.Handler.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := uuid.NewString()
	w.Header().Set("Apigw-Requestid", id)
	status, err := g.serve(w, r, id)
	if err == nil {
		return // the function answered
	}
	g.cfg.Logger.WarnContext(r.Context(), "an HTTP API answered in the place of its function", "function", g.cfg.Function,
		"method", r.Method, "path", r.URL.Path, "status", status, "request_id", id, "error", err.Error())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": http.StatusText(status)}) // the client went away
}

// serve answers, or returns the status of a refusal.
func (g *gateway) serve(w http.ResponseWriter, r *http.Request, id string) (refusal int, err error) {
	if !g.onStage(r.URL.Path) {
		return http.StatusNotFound, fmt.Errorf("the stage is %q: its paths begin with /%s", g.cfg.Stage, g.cfg.Stage)
	}
	if n := headerSize(r); n > MaxHeader {
		return http.StatusRequestHeaderFieldsTooLarge, fmt.Errorf("the request line and header values have %d bytes, at most %d are allowed", n, MaxHeader)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d bytes", MaxBody)
	}
	if err != nil {
		return http.StatusBadRequest, fmt.Errorf("read the body: %w", err)
	}
	payload, err := json.Marshal(newEvent(r, g.cfg.Stage, id, body))
	if err != nil {
		return http.StatusInternalServerError, err
	}
	if len(payload) > maxEvent {
		return http.StatusRequestEntityTooLarge, fmt.Errorf("the event has %d bytes, of which Lambda takes %d", len(payload), maxEvent)
	}
	answer, status, err := g.invoke(r.Context(), payload)
	if err != nil {
		return status, err
	}
	answer.write(w)
	return 0, nil
}

func (g *gateway) onStage(path string) bool {
	if g.cfg.Stage == defaultStage {
		return true
	}
	rest, ok := strings.CutPrefix(path, "/"+g.cfg.Stage)
	return ok && (rest == "" || rest[0] == '/')
}

// headerSize is of the request line and header values, which is what is limited.
func headerSize(r *http.Request) int {
	n := len(r.Method) + len(r.RequestURI) + len(r.Proto) + len("  ") + len(r.Host)
	for _, values := range r.Header {
		for _, v := range values {
			n += len(v)
		}
	}
	return n
}

// invoke calls the function once.
func (g *gateway) invoke(ctx context.Context, payload []byte) (*answer, int, error) {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.Timeout)
	defer cancel()
	out, err := g.cfg.Lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: &g.cfg.Function, Payload: payload},
		func(o *lambda.Options) { o.Retryer = aws.NopRetryer{} })
	if err != nil {
		return nil, statusOf(ctx, err), fmt.Errorf("invoke %s: %w", g.cfg.Function, err)
	}
	if out.FunctionError != nil {
		return nil, http.StatusInternalServerError, fmt.Errorf("%s failed: %.1000s", g.cfg.Function, out.Payload)
	}
	a, err := parseAnswer(out.Payload)
	if err != nil {
		return nil, http.StatusInternalServerError, fmt.Errorf("%s answered what is no response of payload format version 2.0: %w", g.cfg.Function, err)
	}
	return a, 0, nil
}

func statusOf(ctx context.Context, err error) int {
	var tooLarge *types.RequestTooLargeException
	switch {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
