package janitor

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
)

// Config of a janitor. The zero value works.
type Config struct {
	// Keep is how many of the newest versions of each function and layer stay
	// whether or not anything refers to them; 0 means 3, -1 none.
	Keep int
	// Grace is the age below which every version stays; 0 means 24 h.
	Grace time.Duration
	// Except are patterns as of path.Match for names of functions and layers that
	// are not swept.
	Except []string
	// Rate is how many requests are made in a second; 0 means 5.
	Rate float64
	// Reserve is the time before the deadline of an invocation at which nothing
	// more is begun; 0 means 5 s.
	Reserve time.Duration
	// DryRun reports what would be deleted.
	DryRun bool
	// MaxFailures is after how many failures in one invocation it ends; 0 means 5.
	MaxFailures int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Intn picks a number from 0 to n-1; nil means a random one.
	Intn func(n int) int
}

const (
	defaultKeep        = 3
	defaultGrace       = 24 * time.Hour
	defaultRate        = 5
	maxRate            = 15 // "Lambda quotas": control plane requests a second
	defaultReserve     = 5 * time.Second
	defaultMaxFailures = 5
)

// Validate reports the first invalid field.
func (c Config) Validate() error {
	switch {
	case c.Keep < -1:
		return fmt.Errorf("janitor: invalid Keep %d: must be a number of at least 0, or -1 for none", c.Keep)
	case c.Grace < 0 || c.Reserve < 0:
		return errors.New("janitor: Grace and Reserve must not be negative")
	case !(c.Rate >= 0 && c.Rate <= maxRate): // not a number is neither
		return fmt.Errorf("janitor: invalid Rate %g: must be more than 0 and at most %d, which is what Lambda allows an account", c.Rate, maxRate)
	case c.MaxFailures < 0:
		return fmt.Errorf("janitor: invalid MaxFailures %d: must not be negative", c.MaxFailures)
	}
	for _, pattern := range c.Except {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("janitor: invalid pattern %q in Except: %w", pattern, err)
		}
	}
	return nil
}

// ParseConfig reads an environment as the package comment lists it, and names
// every variable that is wrong.
func ParseConfig(getenv func(string) string) (Config, error) {
	var c Config
	var errs []error
	read := func(name, wanted string, parse func(text string) error) {
		if text := getenv(name); text != "" && parse(text) != nil {
			errs = append(errs, fmt.Errorf("invalid %s %q: must be %s", name, text, wanted))
		}
	}
	read("JANITOR_KEEP", "a number of at least 0", func(text string) error { return c.parseKeep(text) })
	read("JANITOR_GRACE", "a duration above 0 such as 24h", func(text string) (err error) { c.Grace, err = positive(time.ParseDuration(text)); return err })
	read("JANITOR_RATE", "a number above 0, at most 15", func(text string) (err error) { c.Rate, err = positive(strconv.ParseFloat(text, 64)); return err })
	read("JANITOR_DRY_RUN", "true or false", func(text string) (err error) { c.DryRun, err = strconv.ParseBool(text); return err })
	for name := range strings.SplitSeq(getenv("JANITOR_EXCEPT"), ",") {
		if name = strings.TrimSpace(name); name != "" {
			c.Except = append(c.Except, name)
		}
	}
	return c, errors.Join(append(errs, c.Validate())...)
}

// positive refuses a value that would stand for the default.
func positive[T float64 | time.Duration](n T, err error) (T, error) {
	if err == nil && !(n > 0) {
		err = strconv.ErrRange
	}
	return n, err
}

// parseKeep reads 0 as none, which the field has as -1.
func (c *Config) parseKeep(text string) error {
	n, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return err
	case n < 0:
		return strconv.ErrRange
	case n == 0:
		n = -1
	}
	c.Keep = n
	return nil
}

// isExcepted reports whether a name is excepted.
func (c Config) isExcepted(name string) bool {
	for _, pattern := range c.Except {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}
