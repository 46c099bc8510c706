package lambda

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/environment"
)

// call is one event for a function.
type call struct {
	ref     reference
	payload []byte
	traceID string
}

// answer is what a function made of a call.
type answer struct {
	environment.Result
	requestID string
	version   string
	fault     fault.Fault
}

// invoke runs a function once and waits for its answer. An error says that no
// answer came back: there is no such function, a limit was met, or a fault was
// injected. ctx does not end a function that runs; its timeout does.
func (h *Host) invoke(ctx context.Context, c call) (answer, error) {
	r, arn, err := h.resolve(c.ref)
	if err != nil {
		return answer{}, err
	}
	if len(r.config.layers) > 0 {
		return answer{}, notImplemented("to invoke a function with layers: they are kept and described, not given to it")
	}
	var f fault.Fault
	if h.cfg.Fault != nil {
		f = h.cfg.Fault(r.function.name)
	}
	if err := h.before(ctx, f); err != nil {
		return answer{}, err
	}
	release, err := h.acquire()
	if err != nil {
		return answer{}, err
	}
	defer release()
	a := answer{requestID: uuid.NewString(), version: r.version, fault: f}
	inv := environment.Invocation{
		ID: a.requestID, FunctionARN: arn, TraceID: c.traceID,
		Payload: c.payload, Timeout: r.timeout(), KillAfter: killAfter(f),
	}
	inv.TraceID = cmp.Or(inv.TraceID, newTraceID())
	if len(inv.Payload) == 0 {
		inv.Payload = []byte("{}")
	}
	a.Result = h.runIn(r, inv)
	if h.ctx.Err() != nil {
		return answer{}, unavailable(ErrClosed.Error())
	}
	return a, after(f)
}

// runIn runs an invocation in an idle environment, or in a new one.
func (h *Host) runIn(r *revision, inv environment.Invocation) environment.Result {
	if env := r.pool.take(); env != nil {
		defer r.pool.put(env)
		return env.Invoke(h.ctx, inv)
	}
	env, failure := h.initialise(r, inv)
	if env == nil {
		return failure
	}
	defer r.pool.put(env)
	return env.Invoke(h.ctx, inv)
}

// initialise starts an environment. Lambda tries a failed Init phase once more,
// within the function's timeout, before it gives the failure to the caller
// (developer guide, "Understanding the Lambda execution environment lifecycle",
// "Failures during the Init phase").
func (h *Host) initialise(r *revision, inv environment.Invocation) (*environment.Environment, environment.Result) {
	var failure environment.Result
	for _, limit := range []time.Duration{h.cfg.InitTimeout, inv.Timeout} {
		id := uuid.NewString()
		env, err := environment.Start(h.spawner, environment.Config{
			ID: id, Dir: r.code.dir, Tmp: h.codes.dir, Env: h.variables(r, id),
			MemorySize: *r.config.MemorySize, Log: r.function.log.append,
		})
		if err != nil {
			return nil, environment.Unstartable(inv.ID, err)
		}
		var ok bool
		if failure, ok = env.Init(h.ctx, inv.ID, limit); ok {
			return env, failure
		}
		env.Stop()
		env.Wait()
		r.function.log.append([]byte(fmt.Sprintf("INIT_REPORT\tPhase: init\tStatus: error\tError Type: %s\n", failure.ErrorType)))
		if h.ctx.Err() != nil {
			break
		}
	}
	return nil, failure
}

// acquire counts an invocation against the account's concurrency (developer
// guide, "Understanding Lambda function scaling").
func (h *Host) acquire() (release func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running >= h.cfg.Concurrency {
		return nil, throttled("ConcurrentInvocationLimitExceeded")
	}
	if err := h.beginLocked(); err != nil {
		return nil, unavailable(err.Error())
	}
	h.running++
	return h.release, nil
}

func (h *Host) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.wg.Done()
	h.running--
}

// resolve finds what is to run, and the ARN under which it was asked for. A
// weighted alias is decided here.
func (h *Host) resolve(ref reference) (*revision, string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, err := h.revision(ref)
	if err != nil {
		return nil, "", err
	}
	if a, known := r.function.aliases[ref.qualifier]; known {
		if other := r.function.find(a.pick(h.random.Float64())); other != nil {
			r = other
		}
	}
	return r, h.arn(ref.name, ref.qualifier), nil
}

// newTraceID makes a root for X-Ray that is not sampled.
func newTraceID() string {
	var b [20]byte
	_, _ = rand.Read(b[:])
	return fmt.Sprintf("Root=1-%08x-%s;Parent=%s;Sampled=0",
		time.Now().Unix(), hex.EncodeToString(b[:12]), hex.EncodeToString(b[12:]))
}
