package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/personal/keytable"
	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/serving"
)

// eraseCommand throws a subject's key away.
type eraseCommand struct {
	Subject     string `arg:"" help:"Whose personal members become unreadable, such as user/42."`
	SubjectKeys string `help:"Table of the keys." default:"${keys}" env:"SUBJECT_KEYS_TABLE"`
	Event       string `help:"File with an event for read models; {subject} and its end, {id}, are filled in." env:"BANYAN_CONSUME_ERASE_EVENT" placeholder:"FILE"`
	Stream      string `help:"Kinesis stream that it is published to." default:"banyan-events" env:"EVENTS_STREAM"`
	DryRun      bool   `help:"Only say whether there is a key, and show the event."`
}

// erasure is the audit line of the command.
type erasure struct {
	Subject  string          `json:"subject"`
	Table    string          `json:"table"`
	Before   keytable.Status `json:"before"`
	Now      keytable.Status `json:"now"`
	At       time.Time       `json:"at"`
	DryRun   bool            `json:"dry_run,omitempty"`
	EventID  string          `json:"event_id,omitempty"`
	Position string          `json:"position,omitempty"`
	Event    json.RawMessage `json:"event,omitempty"`
}

// Run erases, makes sure of it, publishes the event, and prints a line of JSON. It may be
// repeated, also when it failed halfway: the event then has the same id.
func (c *eraseCommand) Run(ctx context.Context, parsed *kong.Context) error {
	e, err := c.event(time.Now())
	if err != nil {
		return fmt.Errorf("%w: --event %s: %w", serving.ErrUsage, c.Event, err)
	}
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return err
	}
	keys, err := keytable.Open(ctx, sdk, c.SubjectKeys, "", 0)
	if err != nil {
		return err
	}
	line := erasure{Subject: c.Subject, Table: c.SubjectKeys, At: time.Now().UTC(), DryRun: c.DryRun}
	if line.Before, err = keys.Status(ctx, c.Subject); err != nil {
		return err
	}
	if line.Now = line.Before; c.DryRun {
		line.Event = e.data
		return line.print(parsed.Stdout)
	}
	if _, err := keys.Erase(ctx, c.Subject); err != nil { // which reads the table again
		return err
	}
	line.Now, line.EventID = keytable.Erased, e.ID
	if e.data == nil {
		return line.print(parsed.Stdout)
	}
	out, err := kinesis.NewFromConfig(sdk).PutRecord(ctx, &kinesis.PutRecordInput{StreamName: &c.Stream, PartitionKey: &e.PartitionKey, Data: e.data})
	if err != nil {
		return fmt.Errorf("%s is erased, but its event was not published to stream %q: run the same command again: %w", c.Subject, c.Stream, err)
	}
	line.Position = events.Position{Sequence: aws.ToString(out.SequenceNumber)}.String()
	return line.print(parsed.Stdout)
}

func (l erasure) print(w io.Writer) error { return json.NewEncoder(w).Encode(l) }

// encoded is an event with its bytes, zero for none.
type encoded struct {
	events.Event
	data []byte
}

// event reads the file, and sets the attributes of an event that it leaves out.
func (c *eraseCommand) event(now time.Time) (e encoded, err error) {
	if c.Event == "" {
		return e, nil
	}
	text, err := os.ReadFile(c.Event)
	if err != nil {
		return e, err
	}
	id := c.Subject[strings.LastIndex(c.Subject, "/")+1:]
	filled := strings.NewReplacer("{subject}", inJSON(c.Subject), "{id}", inJSON(id)).Replace(string(text))
	attributes := map[string]any{
		"specversion": "1.0", "subject": c.Subject, "time": now.UTC(), "sequence": new(events.Clock).Next(),
		"id": uuid.NewSHA1(uuid.NameSpaceURL, []byte("banyan erase "+c.Subject)).String(),
	}
	if err := json.Unmarshal([]byte(filled), &attributes); err != nil {
		return e, err
	}
	whole, err := json.Marshal(attributes)
	if err != nil {
		return e, err
	}
	if e.Event, err = events.Decode(whole); err != nil {
		return e, err
	}
	e.data, err = events.Encode(e.Event)
	return e, err
}

// inJSON is s within a text of JSON.
func inJSON(s string) string {
	quoted, _ := json.Marshal(s) // a text
	return string(quoted[1 : len(quoted)-1])
}
