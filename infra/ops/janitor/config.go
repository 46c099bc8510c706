package janitor

import (
	"errors"
	"fmt"
	"path"
	"slices"
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
	// AliasAge lets aliases be deleted that have not been invoked for so long and whose
	// version is older, in whole days; 0 means that none is.
	AliasAge time.Duration
	// AliasKeep is how many aliases of each function stay, those of the newest versions
	// first; 0 means 10.
	AliasKeep int
	// AliasExcept are patterns as of path.Match for names of aliases that stay; nil
	// means live.
	AliasExcept []string
	// Traffic tells who was invoked. It is needed with AliasAge.
	Traffic Traffic
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
	defaultAliasKeep   = 10
	defaultAlias       = "live" // the one that the Terraform modules make
	aDay               = 24 * time.Hour
	maxAliasAge        = 400 * aDay // CloudWatch keeps figures for 455 days
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
	if c.AliasAge < 0 || c.AliasAge > maxAliasAge || c.AliasAge%aDay != 0 || c.AliasKeep < 0 {
		return fmt.Errorf("janitor: invalid AliasAge %s or AliasKeep %d: must be whole days, at most 400, and a number of at least 0", c.AliasAge, c.AliasKeep)
	}
	for _, pattern := range slices.Concat(c.Except, c.AliasExcept) {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("janitor: invalid pattern %q in Except or AliasExcept: %w", pattern, err)
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
	read("JANITOR_ALIAS_DAYS", "a number of days from 1 to 400", func(text string) error {
		days, err := positive(strconv.ParseFloat(text, 64))
		c.AliasAge = time.Duration(days * float64(aDay))
		return err
	})
	read("JANITOR_ALIAS_KEEP", "a number above 0", func(text string) (err error) {
		keep, err := strconv.ParseUint(text, 10, 16)
		c.AliasKeep = int(keep)
		return err
	})
	c.Except, c.AliasExcept = list(getenv("JANITOR_EXCEPT")), list(getenv("JANITOR_ALIAS_EXCEPT"))
	return c, errors.Join(append(errs, c.Validate())...)
}

func list(text string) (names []string) {
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
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
