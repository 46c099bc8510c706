package warm

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Target is a function to keep warm.
type Target struct {
	// Function is a name or an ARN, with the alias that callers use.
	Function string
	// Environments is how many to keep warm; 0 means 1.
	Environments int
}

// Config of a pinger.
type Config struct {
	// Targets are at least one.
	Targets []Target
	// Hold is how long a ping holds its environment; 0 means 200 ms.
	Hold time.Duration
	// Timeout bounds one round of pings to one function, cold starts included; 0
	// means 20 s.
	Timeout time.Duration
}

const (
	defaultHold     = 200 * time.Millisecond
	defaultTimeout  = 20 * time.Second
	maxEnvironments = 100
)

var functionPattern = regexp.MustCompile(`^(arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:)?[a-zA-Z0-9_-]{1,64}(:[a-zA-Z0-9_-]{1,128})?$`)

// Validate reports the first invalid field.
func (c Config) Validate() error {
	if len(c.Targets) == 0 {
		return errors.New("warm: no function is named: set WARM_FUNCTIONS to name:alias=number, separated by commas")
	}
	if c.Hold < 0 || c.Hold > MaxHold {
		return fmt.Errorf("warm: invalid Hold %s (WARM_HOLD): must be from 0s to %s", c.Hold, MaxHold)
	}
	if c.Timeout < 0 {
		return errors.New("warm: Timeout must not be negative")
	}
	seen := map[string]bool{}
	for _, t := range c.Targets {
		switch {
		case !functionPattern.MatchString(t.Function):
			return fmt.Errorf("warm: invalid function %q: must be a name or an ARN, with or without an alias", t.Function)
		case t.Environments < 0 || t.Environments > maxEnvironments:
			return fmt.Errorf("warm: invalid number %d of environments of %s: must be 1 to %d; use provisioned concurrency for more", t.Environments,
				t.Function, maxEnvironments)
		case seen[t.Function]:
			return fmt.Errorf("warm: %s is named twice", t.Function)
		}
		seen[t.Function] = true
	}
	return nil
}

// ParseConfig reads an environment as the package comment lists it.
func ParseConfig(getenv func(string) string) (Config, error) {
	var c Config
	var errs []error
	for word := range strings.SplitSeq(getenv("WARM_FUNCTIONS"), ",") {
		if word = strings.TrimSpace(word); word == "" {
			continue
		}
		t, err := parseTarget(word)
		errs = append(errs, err)
		c.Targets = append(c.Targets, t)
	}
	if text := getenv("WARM_HOLD"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("invalid WARM_HOLD %q: must be a duration such as 200ms", text))
		}
		c.Hold = d
	}
	if err := errors.Join(errs...); err != nil {
		return c, err
	}
	return c, c.Validate()
}

func parseTarget(word string) (Target, error) {
	name, number, given := strings.Cut(word, "=")
	t := Target{Function: name, Environments: 1}
	if !given {
		return t, nil
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 {
		return t, fmt.Errorf("invalid entry %q in WARM_FUNCTIONS: must be name=number, from 1 to %d", word, maxEnvironments)
	}
	t.Environments = n
	return t, nil
}
