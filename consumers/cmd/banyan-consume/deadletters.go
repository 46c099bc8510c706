package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/serving"
)

// deadLettersCommand are the verbs for dead letters.
type deadLettersCommand struct {
	List    lettersListCommand    `cmd:"" help:"List the dead letters of a consumer, by position."`
	Show    lettersShowCommand    `cmd:"" help:"Show a dead letter with all its bytes."`
	Redrive lettersRedriveCommand `cmd:"" help:"Have the function handle letters again that were not redriven yet, one after the other. What is interrupted goes on when it is run again."`
	Discard lettersDiscardCommand `cmd:"" help:"Delete letters for good."`
	Stats   lettersStatsCommand   `cmd:"" help:"Count the dead letters of all consumers. It scans the table, a read unit for every 8 KB of it."`
}

// tableFlags name the table of dead letters.
type tableFlags struct {
	Table string `help:"Table of dead letters." default:"${letters}" env:"DEAD_LETTER_TABLE"`
}

func (f tableFlags) open(ctx context.Context) (*deadletter.Store, error) {
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return nil, err
	}
	return deadletter.New(dynamodb.NewFromConfig(sdk), f.Table), nil
}

// filterFlags select some of a consumer's letters.
type filterFlags struct {
	Type     string `help:"Only those of this event type."`
	Contains string `help:"Only those whose reason contains this text." placeholder:"TEXT"`
	Since    moment `help:"Only those given up since then: a time such as 2026-11-30T09:00:00Z, or how long ago, such as 2h." placeholder:"TIME"`
	Until    moment `help:"Only those given up before then." placeholder:"TIME"`
}

func (f filterFlags) options() deadletter.ListOptions {
	return deadletter.ListOptions{Type: f.Type, Contains: f.Contains, Since: time.Time(f.Since), Until: time.Time(f.Until)}
}

// moment is a flag with a time, or how long ago it was.
type moment time.Time

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *moment) UnmarshalText(text []byte) error {
	if ago, err := time.ParseDuration(string(text)); err == nil && ago >= 0 {
		*m = moment(time.Now().Add(-ago))
		return nil
	}
	at, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return fmt.Errorf("must be a time such as 2026-11-30T09:00:00Z, or how long ago, such as 2h, not %q", text)
	}
	*m = moment(at)
	return nil
}

// asJSON is the flag of what prints for people or for programs.
type asJSON struct {
	JSON bool `help:"Print JSON." env:"BANYAN_CONSUME_JSON"`
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printable escapes control characters in text from outside.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// count is a number of things for people.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// timeText leaves the zero time empty.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// checkConsumer returns an error, with the consumers that have dead letters, unless consumer
// is one of them: its name may be mistyped.
func checkConsumer(ctx context.Context, store *deadletter.Store, table, consumer string) error {
	page, err := store.List(ctx, consumer, deadletter.ListOptions{Limit: 1, Redriven: true})
	if err != nil || len(page.Letters) > 0 {
		return err
	}
	all, err := store.Stats(ctx)
	if err != nil {
		return err
	}
	others := "none of any other"
	if len(all) > 0 {
		others = "those of"
		for i, s := range all {
			others += fmt.Sprintf("%s %s (%d)", strings.Repeat(",", min(i, 1)), printable(s.Consumer), s.Waiting)
		}
	}
	return &serving.ExitError{Code: exitUnknown, Err: fmt.Errorf("table %q has no dead letters of a consumer %q, but %s", table, consumer, others)}
}
