package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/events"
)

// letters is a table of dead letters that commands use, by the environment.
type letters struct {
	*testing.T
	*deadletter.Store
	table string
}

func newLetters(t *testing.T) letters {
	t.Helper()
	db := streamtest.NewDynamoDB(t)
	table := db.CreateTable(deadletter.TableInput)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_DYNAMODB": db.Endpoint, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
		"DEAD_LETTER_TABLE": table,
	} {
		t.Setenv(name, value)
	}
	return letters{t, deadletter.New(db.Client(nil), table), table}
}

// put stores letter number n of a consumer.
func (l letters) put(consumer string, n int, change func(*consumers.DeadLetter)) consumers.DeadLetter {
	l.Helper()
	d := consumers.DeadLetter{
		Consumer: consumer, Stream: "arn:aws:kinesis:us-east-1:000000000000:stream/events", Shard: "shardId-000000000000",
		PartitionKey: "ada", Position: events.Position{Sequence: streamtest.Sequence(n)}, EventID: fmt.Sprint("id-", n),
		EventType: "order.placed", Raw: []byte(`{"n":1}`), Reason: fmt.Sprint("reason ", n),
		Arrived: streamtest.Start, At: streamtest.Start.Add(time.Duration(n) * time.Hour),
	}
	if change != nil {
		change(&d)
	}
	if err := l.Put(l.Context(), d); err != nil {
		l.Fatal(err)
	}
	return d
}

// run runs a command in this process.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return runUntil(t, t.Context(), args...)
}

func runUntil(t *testing.T, ctx context.Context, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	before := slog.Default()
	defer slog.SetDefault(before)
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var out, err bytes.Buffer
	code = newCommand().Execute(ctx, args, &out, &err)
	return code, out.String(), err.String()
}

// check runs a command and looks for texts in what it prints.
func check(t *testing.T, args string, code int, says ...string) string {
	t.Helper()
	got, stdout, stderr := run(t, strings.Fields(args)...)
	if got != code {
		t.Errorf("%s: exit code %d, want %d: %s%s", args, got, code, stdout, stderr)
	}
	for _, text := range says {
		if !strings.Contains(stdout+stderr, text) {
			t.Errorf("%s: says nothing of %q:\n%s%s", args, text, stdout, stderr)
		}
	}
	return stdout
}
