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
	Level                 slog.Level
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
	const number = "a number from 1 to 1000"
	parse("ATTEMPTS", number, parseNumber(&s.Attempts))
	parse("CONCURRENCY", number, parseNumber(&s.Concurrency))
	parse("HANDLER_TIMEOUT", "a duration such as 15s", parseTimeout(&s.Timeout))
	parse("ON_FAILURE", "dead-letter or halt", func(text string) error { return s.Policy.UnmarshalText([]byte(text)) })
	parse("LOG_LEVEL", "debug, info, warn or error", func(text string) error { return s.Level.UnmarshalText([]byte(text)) })
	return s, errors.Join(errs...)
}

var errOutOfRange = errors.New("out of range")

func parseNumber(into *int) func(string) error {
	return func(text string) (err error) {
		*into, err = strconv.Atoi(text)
		if *into < 1 || *into > 1000 {
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
