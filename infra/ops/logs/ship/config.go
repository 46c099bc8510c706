package ship

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/banyan-fig/banyan/infra/ops/logs/internal/line"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// Config of a shipper. Bulk and DeadLetters are required.
type Config struct {
	// Bulk creates the documents, DeadLetters stores what it refuses.
	Bulk        Bulk
	DeadLetters DeadLetters
	// Function is the dimension of the metrics; "" means log-shipper.
	Function string
	// Index is the prefix of the indexes; "" means logs.
	Index string
	// Own are the log groups of the function itself, which are dropped.
	Own []string
	// MaxBytes and MaxDocuments bound a request; 0 means 5 MiB and 1,000. A
	// document that is larger alone is sent alone.
	MaxBytes, MaxDocuments int
	// MaxFields, MaxDepth and MaxValue bound what is kept of a structured line as
	// fields; 0 means 64, 4 and 4,096 bytes.
	MaxFields, MaxDepth, MaxValue int
	// Pause is the first pause before items are sent again, doubled up to
	// MaxPause; 0 means 100 ms and 5 s.
	Pause, MaxPause time.Duration
	// Margin is the time before the function's deadline at which nothing more is
	// tried; 0 means 3 s. It is at most a fifth of the time there is.
	Margin time.Duration
	// Metrics gets the figures, Functions those of the platform's reports; nil
	// writes none.
	Metrics, Functions *emf.Writer
	// Logger gets what an operator should know; nil discards it.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

const (
	defaultFunction  = "log-shipper"
	defaultIndex     = "logs"
	defaultBytes     = 5 << 20
	defaultDocuments = 1000
	maxValue         = 8191 // Lucene takes terms of 32,766 bytes; in the worst case four a character
	defaultPause     = 100 * time.Millisecond
	defaultMaxPause  = 5 * time.Second
	defaultMargin    = 3 * time.Second
)

var indexName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,99}$`)

// Validate reports the first invalid field.
func (c Config) Validate() error {
	switch {
	case c.Bulk == nil || c.DeadLetters == nil:
		return errors.New("log-shipper: Bulk and DeadLetters must be given")
	case c.Index != "" && !indexName.MatchString(c.Index):
		return fmt.Errorf("log-shipper: invalid Index %q: must be lower-case letters, digits, -, _ and ., at most 100", c.Index)
	case c.MaxBytes < 0 || c.MaxDocuments < 0 || c.MaxFields < 0 || c.MaxDepth < 0 || c.MaxValue < 0:
		return errors.New("log-shipper: bounds must not be negative")
	case c.MaxValue > maxValue:
		return fmt.Errorf("log-shipper: invalid MaxValue %d: must be at most %d, since an index refuses longer values", c.MaxValue, maxValue)
	case c.Pause < 0 || c.MaxPause < 0 || c.Margin < 0:
		return errors.New("log-shipper: Pause, MaxPause and Margin must not be negative")
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.Function = cmp.Or(c.Function, defaultFunction)
	c.Index = cmp.Or(c.Index, defaultIndex)
	c.MaxBytes = cmp.Or(c.MaxBytes, defaultBytes)
	c.MaxDocuments = cmp.Or(c.MaxDocuments, defaultDocuments)
	c.Pause = cmp.Or(c.Pause, defaultPause)
	c.MaxPause = cmp.Or(c.MaxPause, defaultMaxPause)
	c.Margin = cmp.Or(c.Margin, defaultMargin)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func (c Config) limits() line.Limits {
	return line.Limits{Fields: c.MaxFields, Depth: c.MaxDepth, Value: c.MaxValue}
}
