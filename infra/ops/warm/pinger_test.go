package warm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/banyan-fig/banyan/infra/ops/warm"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	"github.com/banyan-fig/banyan/infra/sandbox/functiontest"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/lambda"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// world is a Lambda over the wire with functions that are wrapped or bare.
type world struct {
	t    *testing.T
	host functiontest.Host
}

func newWorld(t *testing.T, inject func(string) fault.Fault) *world {
	t.Helper()
	return &world{t, functiontest.Start(t, sandbox.Config{Fault: inject}, warm.Options)}
}

func (w *world) function(name string, env map[string]string) {
	w.t.Helper()
	functiontest.Deploy(w.t, w.host.Client, name, functiontest.Small(w.t, functiontest.Build(w.t, "./internal/testfunction")), env)
}

func (w *world) pinger(cfg warm.Config) *warm.Pinger {
	w.t.Helper()
	p, err := warm.New(w.host.Client, cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// TestPing: n environments are reached, stay the same ones, and the handler sees
// nothing; a function without the wrapper, or that cannot start, is pinged once and
// reported.
func TestPing(t *testing.T) {
	w := newWorld(t, nil)
	w.function("users", nil)
	w.function("bare", map[string]string{"BARE": "yes"})
	w.function("ill", map[string]string{"EXIT": "yes"})
	p := w.pinger(
		warm.Config{
			Hold: time.Second,
			Targets: []warm.Target{
				{Function: "users", Environments: 3},
				{Function: "bare", Environments: 5},
				{Function: "gone"},
				{Function: "ill", Environments: 2},
			},
		},
	)
	first := p.Ping(t.Context())
	if r := first[0]; r.Environments != 3 || r.Cold != 3 || r.Failed+r.Busy != 0 || r.Err != nil {
		t.Errorf("cold: %+v", r)
	}
	if r := first[1]; !errors.Is(r.Err, warm.ErrMisunderstood) || r.Failed != 1 || r.Environments != 0 {
		t.Errorf("bare: %+v", r)
	}
	if n := strings.Count(string(w.host.Log("bare")), "handled"); n != 1 {
		t.Errorf("the bare function handled %d pings", n)
	}
	if r := first[2]; r.Failed != 1 || r.Err == nil || !strings.Contains(r.Err.Error(), "ResourceNotFoundException") {
		t.Errorf("one that is not there: %+v", r)
	}
	if r := first[3]; r.Failed != 1 || r.Err == nil || errors.Is(r.Err, warm.ErrMisunderstood) || !strings.Contains(r.Err.Error(), "exit status 3") {
		t.Errorf("one that cannot start: %+v", r)
	}
	if again := p.Ping(t.Context())[0]; again.Environments != 3 || again.Cold != 0 {
		t.Errorf("warm: %+v", again)
	}
	out, err := w.host.Client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("users"), Payload: []byte(`{"a":1}`)})
	if err != nil || string(out.Payload) != `"done"` {
		t.Errorf("an event: %s, %v", out.Payload, err)
	}
	if log := string(w.host.Log("users")); strings.Count(log, "handled") != 1 || !strings.Contains(log, `handled {"a":1}`) {
		t.Errorf("the handler saw %s", log)
	}
}

// TestBusyIsWarm: a throttled ping is not sent again, and other faults do not fail
// the function.
func TestBusyIsWarm(t *testing.T) {
	var calls atomic.Int32
	w := newWorld(t, func(string) fault.Fault {
		switch calls.Add(1) {
		case 2, 3:
			return fault.Fault{Kind: fault.Throttle}
		case 5:
			return fault.Fault{Kind: fault.Internal}
		}
		return fault.Fault{}
	})
	w.function("users", nil)
	p := w.pinger(warm.Config{Hold: 500 * time.Millisecond, Targets: []warm.Target{{Function: "users", Environments: 3}}})
	if r := p.Ping(t.Context())[0]; r.Busy != 2 || r.Environments != 1 || r.Err != nil || calls.Load() != 4 {
		t.Errorf("after %d calls: %+v", calls.Load(), r)
	}
	var log, metrics bytes.Buffer
	reports, err := p.Serve(slog.New(slog.NewJSONHandler(&log, nil)), emf.New(&metrics, "Banyan/Operations"))(t.Context())
	if text, _ := json.Marshal(reports); err != nil || len(reports) != 1 || reports[0].Failed != 1 ||
		!strings.Contains(string(text), `"reason":"ping users: `) {
		t.Errorf("%+v, %v", reports, err)
	}
	if !strings.Contains(metrics.String(), `"Failures":1`) || !strings.Contains(metrics.String(), `"Warmed":"users"`) ||
		!strings.Contains(log.String(), "not kept warm") {
		t.Errorf("metrics %s\nlog %s", &metrics, &log)
	}
}

// TestPingsEnd: with the invocation, whatever the functions do.
func TestPingsEnd(t *testing.T) {
	w := newWorld(t, func(string) fault.Fault { return fault.Fault{Kind: fault.Late, Delay: 5 * time.Second} })
	w.function("users", nil)
	p := w.pinger(warm.Config{Targets: []warm.Target{{Function: "users", Environments: 2}}, Timeout: 100 * time.Millisecond})
	if r := p.Ping(t.Context())[0]; r.Failed != 1 || !errors.Is(r.Err, context.DeadlineExceeded) {
		t.Errorf("%+v", r)
	}
}
