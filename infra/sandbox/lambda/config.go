package lambda

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

// Config says how the host behaves. The zero value works.
type Config struct {
	// Region and Account appear in ARNs and are what functions are told;
	// "" means us-east-1 and 000000000000.
	Region, Account string
	// Env is given to every function, "NAME=value" each: the endpoints and
	// credentials with which the SDK inside finds the sandbox. A function's own
	// variables win over these. Event source mappings read and write through
	// the same endpoints.
	Env []string
	// Log gets the output of all functions, line by line and preceded by the
	// function's name; nil keeps it in Host.Log only. One line is written at a
	// time.
	Log io.Writer
	// LogSize bounds what Host.Log keeps of each function, in bytes; 0 means
	// 256 KiB.
	LogSize int
	// Dir is where code is unpacked, in a directory of its own that Close
	// removes; "" means the system's temporary directory.
	Dir string
	// Concurrency is the account's limit of invocations at a time; 0 means
	// 1,000 as in a new account.
	Concurrency int
	// IdleTimeout is how long an execution environment waits for its next
	// invocation before it is ended; 0 means five minutes.
	IdleTimeout time.Duration
	// InitTimeout bounds the initialisation of an execution environment; 0
	// means 10 s as in Lambda.
	InitTimeout time.Duration
	// PollInterval is the pause of a mapping after a read without records; 0
	// means 100 ms.
	PollInterval time.Duration
	// RetryBackoff is the pause before a mapping tries a batch again, doubled
	// each time up to RetryBackoffMax; 0 means 100 ms and 10 s.
	RetryBackoff, RetryBackoffMax time.Duration
	// AsyncRetry is the pause before the first retry of an event that failed,
	// and half of the pause before the second; 0 means one minute as in Lambda.
	AsyncRetry time.Duration
	// AsyncQueue bounds the events that wait or run; 0 means 1,000. Beyond it
	// invocations as an event are throttled.
	AsyncQueue int
	// Seed decides which version a weighted alias picks.
	Seed uint64
	// APIFault is asked before every other call of the API, with the operation's
	// name and that of the function, layer or mapping; nil injects nothing.
	// Throttle, Internal and Denied refuse, TimeoutBefore and TimeoutAfter close the
	// connection, Late holds the call back; the rest has no meaning there.
	APIFault func(operation, resource string) fault.Fault
	// Fault is asked before every invocation; nil injects nothing. Throttle
	// and Denied refuse, Internal and TimeoutBefore lose the invocation before the function
	// saw it, TimeoutAfter loses the answer after it ran, Partial kills the
	// process in the middle, Late holds the invocation back, and Duplicate delivers a batch of a stream again that had succeeded: as a
	// whole or in part, at once or after the following batch.
	Fault func(function string) fault.Fault
}

const (
	defaultRegion       = "us-east-1"
	defaultAccount      = "000000000000"
	defaultLogSize      = 256 << 10
	defaultConcurrency  = 1000
	defaultIdle         = 5 * time.Minute
	defaultInit         = 10 * time.Second
	defaultPoll         = 100 * time.Millisecond
	defaultBackoff      = 100 * time.Millisecond
	defaultBackoffMax   = 10 * time.Second
	defaultAsyncRetry   = time.Minute
	defaultAsyncQueue   = 1000
	maxDirectUpload     = 50 << 20
	maxUnpacked         = 250 << 20
	maxRequest          = 70167211 // the service's own limit of a request with code in base64
	maxEnvironment      = 4 << 10
	maxSynchronous      = 6 << 20
	maxAsynchronous     = 1 << 20
	maxAsyncAge         = 6 * time.Hour
	maxFunctions        = 1000
	maxMappings         = 1000
	defaultBatch        = 100
	defaultQueueBatch   = 10
	queuePollers        = 5
	defaultMemory       = 128
	defaultTimeout      = 3
	sandboxAccessKey    = "sandbox"
	variableRegion      = "AWS_REGION"
	variableAccessKey   = "AWS_ACCESS_KEY_ID"
	variableSecretKey   = "AWS_SECRET_ACCESS_KEY"
	variableEndpointURL = "AWS_ENDPOINT_URL"
)

// Validate names the first field that makes no sense.
func (c Config) Validate() error {
	for _, v := range c.Env {
		if name, _, ok := strings.Cut(v, "="); !ok || name == "" {
			return fmt.Errorf("Env: %q is not of the form NAME=value", v)
		}
	}
	if c.LogSize < 0 || c.Concurrency < 0 || c.AsyncQueue < 0 {
		return errors.New("LogSize, Concurrency and AsyncQueue must not be negative")
	}
	for _, d := range []time.Duration{c.IdleTimeout, c.InitTimeout, c.PollInterval, c.RetryBackoff, c.RetryBackoffMax, c.AsyncRetry} {
		if d < 0 {
			return errors.New("durations must not be negative")
		}
	}
	return nil
}

func (c Config) withDefaults() Config {
	fill(&c.Region, defaultRegion)
	fill(&c.Account, defaultAccount)
	fill(&c.LogSize, defaultLogSize)
	fill(&c.Concurrency, defaultConcurrency)
	fill(&c.IdleTimeout, defaultIdle)
	fill(&c.InitTimeout, defaultInit)
	fill(&c.PollInterval, defaultPoll)
	fill(&c.RetryBackoff, defaultBackoff)
	fill(&c.RetryBackoffMax, max(defaultBackoffMax, c.RetryBackoff))
	fill(&c.AsyncRetry, defaultAsyncRetry)
	fill(&c.AsyncQueue, defaultAsyncQueue)
	return c
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// lookup finds a variable in a list of "NAME=value"; the last one counts.
func lookup(env []string, name string) string {
	found := ""
	for _, v := range env {
		if n, value, _ := strings.Cut(v, "="); n == name {
			found = value
		}
	}
	return found
}
