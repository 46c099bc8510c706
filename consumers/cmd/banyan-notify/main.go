// Command banyan-notify is for who operates notifications:
//
//	send  sends a template to a list file of recipients, and goes on with it
//	sent  lists what a user was sent, newest first
//	due   sends what was deferred and is due, as the function notify-due does each minute
//
// The channels are configured by the environment, see package consumers/notify/setup. Flags
// can also be environment variables, which --help names, or keys of the YAML file given
// with --config, named like the flag without its dashes; a flag counts before a variable,
// and that before the file.
//
//	banyan-notify send --list users.csv.gz --templates ./templates --template news --dry-run
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers/notify"
	"github.com/banyan-fig/banyan/consumers/notify/setup"
	"github.com/banyan-fig/banyan/consumers/notify/store"
	"github.com/banyan-fig/banyan/consumers/notify/template"
	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/serving"
)

func main() { newCommand().Main() }

// grammar is the command line.
type grammar struct {
	Send sendCommand `cmd:"" help:"Send a template to a list file of recipients, or go on with it."`
	Sent sentCommand `cmd:"" help:"List what a user was sent, newest first, as JSON lines."`
	Due  dueCommand  `cmd:"" help:"Send what was deferred and is due, once."`
}

func newCommand() serving.Command {
	var g grammar
	return serving.Command{
		Name:        "banyan-notify",
		Description: "Operate notifications: lists of recipients, what was sent, what is due.",
		Grammar:     &g,
		Vars:        kong.Vars{"table": store.DefaultTable},
		Run: func(ctx context.Context, parsed *kong.Context, log *slog.Logger) error {
			parsed.BindTo(ctx, (*context.Context)(nil))
			return parsed.Run(log)
		},
	}
}

// tableFlag is the table of notifications.
type tableFlag struct {
	Table string `help:"Table of notifications." default:"${table}" env:"NOTIFICATIONS_TABLE"`
}

func (t tableFlag) store(ctx context.Context) (*store.Store, error) {
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return nil, err
	}
	return store.New(dynamodb.NewFromConfig(sdk), t.Table), nil
}

func (t tableFlag) engine(ctx context.Context, templates template.Set, log *slog.Logger) (*notify.Engine, error) {
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return nil, err
	}
	return setup.Engine(ctx, setup.Environment{Getenv: os.Getenv, AWS: sdk, Client: dynamodb.NewFromConfig(sdk), Table: t.Table, Logger: log}, templates)
}

type sentCommand struct {
	tableFlag
	User   string `arg:"" help:"The user's id."`
	Limit  int    `help:"How many, at most 100." default:"20"`
	Before string `help:"The cursor that the last line of a page gives, for the page after it." placeholder:"CURSOR"`
}

// Run lists a page.
func (c sentCommand) Run(ctx context.Context, parsed *kong.Context) error {
	table, err := c.store(ctx)
	if err != nil {
		return err
	}
	records, next, err := table.Sent(ctx, c.User, c.Before, c.Limit)
	if err != nil {
		return err
	}
	out := json.NewEncoder(parsed.Stdout)
	for _, r := range records {
		if err := out.Encode(r); err != nil {
			return err
		}
	}
	if next != "" {
		return out.Encode(map[string]string{"before": next})
	}
	return nil
}

type dueCommand struct{ tableFlag }

// Run sweeps once.
func (c dueCommand) Run(ctx context.Context, parsed *kong.Context, log *slog.Logger) error {
	engine, err := c.engine(ctx, nil, log)
	if err != nil {
		return err
	}
	report, err := engine.Sweep(ctx)
	if printErr := json.NewEncoder(parsed.Stdout).Encode(report); printErr != nil {
		return fmt.Errorf("print the report: %w", printErr)
	}
	return err
}
