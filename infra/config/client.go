package config

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// Parameters is what is needed of the Parameter Store. *ssm.Client is one.
type Parameters interface {
	GetParameters(ctx context.Context, in *ssm.GetParametersInput, opts ...func(*ssm.Options)) (*ssm.GetParametersOutput, error)
}

// Secrets is what is needed of Secrets Manager. *secretsmanager.Client is one.
type Secrets interface {
	GetSecretValue(ctx context.Context, in *secretsmanager.GetSecretValueInput,
		opts ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
}

// Config configures New. Parameters and Secrets are required, for the rest the zero
// value works.
type Config struct {
	Parameters Parameters
	Secrets    Secrets
	// TTL is how long a value is good for without asking. Default 1 min.
	TTL time.Duration
	// MaxStale is how old a value may be while the source cannot be read. 0: any
	// age. Else at least TTL.
	MaxStale time.Duration
	// Timeout bounds one call. Default 5 s.
	Timeout time.Duration
	// Patience is how long a Secret waits for the renewal of a value that it has.
	// Default 250 ms.
	Patience time.Duration
	// Gap is the least time between two readings of one name.
	// Default 1 s.
	Gap time.Duration
	// Backoff is the pause after a failure; it doubles with each up to TTL.
	// Default 1 s.
	Backoff time.Duration
	// MaxNames bounds the names in use. Default 1,000.
	MaxNames int
	// Log is told when a value cannot be read any more, again every 10 minutes, and when it
	// can. nil: slog.Default.
	Log *slog.Logger
	// Random is in [0,1), for the jitter. Default math/rand/v2.
	Random func() float64
}

// Validate reports the first invalid field.
func (c Config) Validate() error {
	switch {
	case c.Parameters == nil || c.Secrets == nil:
		return errors.New("config: Parameters and Secrets are required")
	case c.TTL < 0 || c.MaxStale < 0 || c.Timeout < 0 || c.Patience < 0 || c.Gap < 0 || c.Backoff < 0 || c.MaxNames < 0:
		return errors.New("config: durations and limits must not be negative")
	case c.MaxStale > 0 && c.MaxStale < c.withDefaults().TTL:
		return fmt.Errorf("config: MaxStale %s is less than the TTL %s: every value would be too old", c.MaxStale, c.withDefaults().TTL)
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.TTL = cmp.Or(c.TTL, time.Minute)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.Patience = cmp.Or(c.Patience, 250*time.Millisecond)
	c.Gap = cmp.Or(c.Gap, time.Second)
	c.Backoff = cmp.Or(c.Backoff, time.Second)
	c.MaxNames = cmp.Or(c.MaxNames, 1000)
	if c.Random == nil {
		c.Random = rand.Float64
	}
	return c
}

// Client reads and keeps values. It is safe for concurrent use; end it with Close.
type Client struct {
	cfg   Config
	wake  chan struct{} // something was asked for
	stop  context.CancelFunc
	ended chan struct{}

	mu      sync.Mutex
	entries map[key]*entry
	closed  bool
}

// New makes a Client, which reads nothing until it is asked.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	c := &Client{cfg: cfg.withDefaults(), wake: make(chan struct{}, 1), stop: stop, ended: make(chan struct{}), entries: map[key]*entry{}}
	go c.run(ctx)
	return c, nil
}

// Close ends the readings and waits for the goroutine. Values at hand can still be
// had; they are not renewed.
func (c *Client) Close() {
	c.stop()
	<-c.ended
}

// Secret returns what a reference names, decrypted.
func (c *Client) Secret(ctx context.Context, r Reference) (Secret, error) {
	v, err := c.value(ctx, r.key)
	if err != nil {
		return Secret{}, err
	}
	return r.of(v)
}

// Refresh reads a value now, at most once each Gap, and returns it. It begins after
// Refresh was called, so that it sees what was changed before. If it fails the error
// says why, and the last good value stays in force.
func (c *Client) Refresh(ctx context.Context, r Reference) (Secret, error) {
	c.mu.Lock()
	e, err := c.entry(r.key)
	if err != nil {
		c.mu.Unlock()
		return Secret{}, err
	}
	done := c.requestReading(e)
	c.mu.Unlock()
	if err := c.wait(ctx, r.key, done, 0); err != nil {
		return Secret{}, err
	}
	c.mu.Lock()
	v, err := e.value, e.err
	c.mu.Unlock()
	if err != nil {
		return Secret{}, err
	}
	return r.of(v)
}

// Subscribe returns a channel on which something is sent after the value changed,
// once for changes in quick succession, and the end of the subscription. A name
// with a subscription is read every TTL even if Get is not called.
func (c *Client) Subscribe(r Reference) (changed <-chan struct{}, end func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, err := c.entry(r.key)
	if err != nil {
		return nil, nil, err
	}
	ch := make(chan struct{}, 1)
	e.subscribers = append(e.subscribers, ch)
	return ch, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		e.subscribers = slices.DeleteFunc(e.subscribers, func(other chan struct{}) bool { return other == ch })
	}, nil
}

// Status is how one name is doing.
type Status struct {
	// Name for people, such as "the parameter /banyan/prod/x". Never a value.
	Name string
	// Age of the value since it was last read well; negative: there is none.
	Age time.Duration
	// Err is of the last reading; nil if it was well.
	Err error
}

// Status lists the names in use, sorted.
func (c *Client) Status() []Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]Status, 0, len(c.entries))
	for k, e := range c.entries {
		out = append(out, Status{k.String(), e.age(time.Now()), e.err})
	}
	slices.SortFunc(out, func(a, b Status) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}
