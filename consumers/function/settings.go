package function

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/deadletter"
)

// Settings are a Spec's with what the environment overrides.
type Settings struct {
	Tables                map[string]string // names by variable
	DeadLetterTable       string
	Policy                consumers.Policy
	Attempts, Concurrency int           // 0: the runtime's default
	Timeout               time.Duration // 0: the runtime's default
	Share, Margin         time.Duration // 0: the runtime's default
	MaxChain              int           // 0: the runtime's default
	DebugSample           float64       // the part of correlations that are logged in detail
	Namespace             string
	Level                 slog.Level
	// FunctionTimeout and MappingRetries are what the function and its mapping are deployed
	// with, for the check of the others. 0 and -1: unknown, or no limit.
	FunctionTimeout time.Duration
	MappingRetries  int
}

// ParseSettings reads an environment. The error names every variable that is invalid.
func ParseSettings(spec Spec, getenv func(string) string) (Settings, error) {
	s := Settings{
		Tables:          map[string]string{},
		DeadLetterTable: cmp.Or(getenv("DEAD_LETTER_TABLE"), spec.DeadLetterTable, deadletter.DefaultTable),
		Policy:          spec.Policy,
		Attempts:        spec.Attempts,
		Concurrency:     spec.Concurrency,
		Timeout:         spec.Timeout,
		Share:           spec.Share,
		Margin:          spec.Margin,
		MaxChain:        spec.MaxChain,
		Namespace:       cmp.Or(getenv("METRICS_NAMESPACE"), spec.Namespace, DefaultNamespace),
		MappingRetries:  -1,
	}
	var errs []error
	parse := func(variable, form string, parse func(text string) error) {
		if text := getenv(variable); text != "" && parse(text) != nil {
			errs = append(errs, fmt.Errorf("%s must be %s, not %q", variable, form, text))
		}
	}
	for _, t := range spec.Tables {
		if _, ok := s.Tables[t.Variable]; ok || t.Variable == "" {
			errs = append(errs, fmt.Errorf("Spec.Tables: table %q needs a variable that no other has, not %q", t.Default, t.Variable))
			continue
		}
		s.Tables[t.Variable] = cmp.Or(getenv(t.Variable), t.Default)
		if s.Tables[t.Variable] == "" {
			errs = append(errs, fmt.Errorf("%s must be set to the name of a table", t.Variable))
		}
	}
	const number, duration = "a number from 1 to 1000", "a duration such as 15s"
	parse("ATTEMPTS", number, parseNumber(&s.Attempts, 1, 1000))
	parse("CONCURRENCY", number, parseNumber(&s.Concurrency, 1, 1000))
	parse("HANDLER_TIMEOUT", duration, parseTimeout(&s.Timeout))
	parse("EVENT_SHARE", duration, parseTimeout(&s.Share))
	parse("MARGIN", duration, parseTimeout(&s.Margin))
	parse("MAX_CALL_CHAIN", "a number from 1 to 10000", parseNumber(&s.MaxChain, 1, 10_000))
	parse("DEBUG_SAMPLE", "a number from 0 to 1", func(text string) (err error) {
		if s.DebugSample, err = strconv.ParseFloat(text, 64); err == nil && !(s.DebugSample >= 0 && s.DebugSample <= 1) {
			err = errOutOfRange
		}
		return err
	})
	parse("FUNCTION_TIMEOUT", duration, parseTimeout(&s.FunctionTimeout))
	parse("MAPPING_RETRIES", "a number from -1 to 10000", parseNumber(&s.MappingRetries, -1, 10_000))
	if s.Policy = consumers.Halt; spec.hasStream() { // the others' sources give up by themselves
		s.Policy = spec.Policy
		parse("ON_FAILURE", "dead-letter or halt", func(text string) error { return s.Policy.UnmarshalText([]byte(text)) })
	}
	parse("LOG_LEVEL", "debug, info, warn or error", func(text string) error { return s.Level.UnmarshalText([]byte(text)) })
	if len(errs) == 0 {
		errs = append(errs, s.checkTimes(s.FunctionTimeout), s.checkRetries())
	}
	return s, errors.Join(errs...)
}

// checkTimes makes sure that what an event may take fits into an invocation of a function
// with this timeout; 0: unknown.
func (s Settings) checkTimes(timeout time.Duration) error {
	if timeout == 0 {
		return nil
	}
	if s.Margin > timeout/5 {
		return fmt.Errorf("MARGIN %v is more than a fifth of the function's timeout of %v: set it to %v or less, or raise the timeout",
			s.Margin, timeout, timeout/5)
	}
	share := consumers.Config{Share: s.Share, Margin: s.Margin}.EventShare(timeout)
	if s.Share > share {
		return fmt.Errorf("EVENT_SHARE %v does not fit into the function's timeout of %v: set it to %v or less, or raise the timeout", s.Share, timeout, share)
	}
	if s.Timeout > share {
		return fmt.Errorf("HANDLER_TIMEOUT %v is longer than %v, the share of one event in the function's timeout of %v: "+
			"set it to that or less, or raise the timeout or EVENT_SHARE", s.Timeout, share, timeout)
	}
	return nil
}

// checkRetries makes sure that the mapping does not give up a batch before the function
// knows which event of it is to blame.
func (s Settings) checkRetries() error {
	if s.MappingRetries < 0 || s.Policy == consumers.Halt || s.MappingRetries >= max(s.Attempts, minRetries) {
		return nil
	}
	return fmt.Errorf("MAPPING_RETRIES %d: the mapping would give up whole batches before the function has found the event to blame: "+
		"set its retries to -1, or to %d or more", s.MappingRetries, max(s.Attempts, minRetries))
}

// minRetries is how many deaths of processes it takes to find the event behind them in the
// largest batch, and the attempts of the default.
const minRetries = 8

var errOutOfRange = errors.New("out of range")

func parseNumber(into *int, least, most int) func(string) error {
	return func(text string) (err error) {
		*into, err = strconv.Atoi(text)
		if *into < least || *into > most {
			err = errors.Join(err, errOutOfRange)
		}
		return err
	}
}

func parseTimeout(into *time.Duration) func(string) error {
	return func(text string) (err error) {
		*into, err = time.ParseDuration(text)
		if *into <= 0 {
			err = errors.Join(err, errOutOfRange)
		}
		return err
	}
}

// CheckTables makes sure that the function's tables exist, and that of dead letters
// unless the policy is to halt, so that a wrong name shows when the function starts.
func (s Settings) CheckTables(ctx context.Context, client dynamodb.DescribeTableAPIClient) error {
	tables := maps.Clone(s.Tables)
	if tables == nil {
		tables = map[string]string{}
	}
	if s.Policy != consumers.Halt {
		tables["DEAD_LETTER_TABLE"] = s.DeadLetterTable
	}
	for _, variable := range slices.Sorted(maps.Keys(tables)) {
		table := tables[variable]
		if _, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table}); err != nil {
			return fmt.Errorf("table %q cannot be used (create it, or set %s): %w", table, variable, err)
		}
	}
	return nil
}
