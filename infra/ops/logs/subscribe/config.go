package subscribe

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config of a subscriber. StreamARN and RoleARN are required.
type Config struct {
	// StreamARN is the Kinesis stream of logs, RoleARN what CloudWatch Logs
	// writes to it with.
	StreamARN, RoleARN string
	// Function is the dimension of the metrics; "" means log-subscriber.
	Function string
	// FilterName is that of our subscription filter; "" means banyan-log-shipper.
	FilterName string
	// Include and Exclude are patterns for names of groups, in which * matches
	// anything, slashes too. Exclude wins; an empty Include means all.
	Include, Exclude []string
	// Shippers are functions whose groups are never subscribed, besides those
	// that read the stream; nil means log-shipper.
	Shippers []string
	// RetentionDays is set where a group has none; 0 leaves all as it is.
	RetentionDays int32
	// KeepForever are patterns for groups that have no retention on purpose.
	KeepForever []string
	// RetentionGrace is the age below which no retention is set, since the tool that
	// made the group may still set one; 0 means an hour.
	RetentionGrace time.Duration
	// Rate is how many requests are made in a second; 0 means 3, -1 as many as
	// can be.
	Rate float64
	// Reserve is the time before the deadline of an invocation at which nothing
	// more is begun; 0 means 5 s.
	Reserve time.Duration
	// MaxFailures is after how many failures in one invocation it ends; 0 means 5.
	MaxFailures int
	// Conflicts is how often a change that met another one is tried; 0 means 5.
	Conflicts int
	// Pause is the first pause after a conflict, doubled each time; 0 means 200 ms.
	Pause time.Duration
	// DryRun changes nothing and reports what would be.
	DryRun bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Intn picks a number from 0 to n-1; nil means a random one.
	Intn func(n int) int
}

// Defaults of a Config, and of an environment.
const (
	defaultFilterName    = "banyan-log-shipper"
	defaultFunction      = "log-subscriber"
	defaultShipper       = "log-shipper"
	defaultRetentionDays = 30
	defaultGrace         = time.Hour
	defaultRate          = 3
	maxRate              = 5 // "CloudWatch Logs quotas": PutSubscriptionFilter, requests a second
	defaultReserve       = 5 * time.Second
	defaultMaxFailures   = 5
	defaultConflicts     = 5
	defaultPause         = 200 * time.Millisecond
)

// retentions are those that PutRetentionPolicy takes, from its API reference.
var retentions = []int32{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// Validate reports all invalid fields, with the variables that they come from.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("log-subscriber: "+format, args...))
		}
	}
	check(strings.Contains(c.StreamARN, ":kinesis:"), "invalid StreamARN (LOG_STREAM_ARN) %q: must be the ARN of the Kinesis stream of logs", c.StreamARN)
	check(strings.Contains(c.RoleARN, ":role/"), "invalid RoleARN (LOG_ROLE_ARN) %q: must be the ARN of the role for CloudWatch Logs", c.RoleARN)
	check(c.RetentionDays == 0 || slices.Contains(retentions, c.RetentionDays),
		"invalid RetentionDays (LOG_RETENTION_DAYS) %d: must be 0 or one of %v", c.RetentionDays, retentions)
	check(c.Rate == -1 || c.Rate >= 0 && c.Rate <= maxRate, "invalid Rate (LOG_RATE) %g: must be more than 0 and at most %d, or -1", c.Rate, maxRate)
	check(c.RetentionGrace >= 0, "invalid RetentionGrace (LOG_RETENTION_GRACE) %s: must not be negative", c.RetentionGrace)
	check(c.Reserve >= 0 && c.MaxFailures >= 0 && c.Conflicts >= 0 && c.Pause >= 0, "Reserve, MaxFailures, Conflicts and Pause must not be negative")
	return errors.Join(errs...)
}

// ParseConfig reads an environment as package logs lists it, and names every
// variable that is wrong.
func ParseConfig(getenv func(string) string) (Config, error) {
	c := Config{
		StreamARN: getenv("LOG_STREAM_ARN"), RoleARN: getenv("LOG_ROLE_ARN"), FilterName: getenv("LOG_FILTER_NAME"),
		Include: list(getenv("LOG_INCLUDE")), Exclude: list(getenv("LOG_EXCLUDE")),
		Shippers: list(getenv("LOG_SHIPPER_FUNCTIONS")), KeepForever: list(getenv("LOG_RETENTION_EXCLUDE")),
		RetentionDays: defaultRetentionDays, Function: getenv("AWS_LAMBDA_FUNCTION_NAME"),
	}
	var errs []error
	read := func(name, wanted string, parse func(text string) error) {
		if text := getenv(name); text != "" && parse(text) != nil {
			errs = append(errs, fmt.Errorf("invalid %s %q: must be %s", name, text, wanted))
		}
	}
	read("LOG_RETENTION_DAYS", "a number of days that CloudWatch Logs accepts, or 0", func(text string) error {
		n, err := strconv.ParseInt(text, 10, 32)
		c.RetentionDays = int32(n)
		return err
	})
	read("LOG_RETENTION_GRACE", "a duration such as 1h", func(text string) (err error) { c.RetentionGrace, err = time.ParseDuration(text); return err })
	read("LOG_RATE", "a number above 0, at most 5", func(text string) (err error) { c.Rate, err = strconv.ParseFloat(text, 64); return err })
	read("LOG_DRY_RUN", "true or false", func(text string) (err error) { c.DryRun, err = strconv.ParseBool(text); return err })
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
