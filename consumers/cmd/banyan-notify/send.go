package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/banyan-fig/banyan/consumers/notify/list"
	"github.com/banyan-fig/banyan/consumers/notify/setup"
	"github.com/banyan-fig/banyan/consumers/notify/template"
	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/serving"
)

type sendCommand struct {
	tableFlag
	List        string  `help:"The list: CSV with a header or JSON lines, plain or gzip." required:"" placeholder:"FILE"`
	Templates   string  `help:"Folder of templates." required:"" placeholder:"FOLDER"`
	Template    string  `help:"The template to send." required:"" placeholder:"NAME"`
	Campaign    string  `help:"Name of the campaign, by which a user is sent it once. Default: the template's." placeholder:"NAME"`
	Users       bool    `help:"The list has users, whose addresses, opt-outs, quiet hours and limits are in the table."`
	Progress    string  `help:"Progress file. Default: beside the list." placeholder:"FILE"`
	Failures    string  `help:"File of what could not be sent. Default: beside the list." placeholder:"FILE"`
	Rate        float64 `help:"Messages a second at most; 0 for no bound." default:"0"`
	Concurrency int     `help:"Messages under way at the same time." default:"256"`
	Batch       int     `help:"Recipients of a batch." default:"100"`
	DryRun      bool    `help:"Read the list and render every text, send nothing."`
}

// Validate refuses numbers that make no sense.
func (c sendCommand) Validate() error {
	if c.Concurrency < 1 || c.Concurrency > 10_000 || c.Batch < 1 || c.Batch > 100_000 || c.Rate < 0 {
		return errors.New("--concurrency must be 1 to 10000, --batch 1 to 100000, and --rate not negative")
	}
	return nil
}

// Run sends and prints a report.
func (c sendCommand) Run(ctx context.Context, parsed *kong.Context, log *slog.Logger) error {
	cfg, err := c.config(ctx, log)
	if err != nil {
		return err
	}
	begin := time.Now()
	p, err := list.Send(ctx, cfg)
	stopped := errors.Is(err, context.Canceled) && ctx.Err() != nil
	if err != nil && p.List == "" {
		return err
	}
	report := map[string]any{
		"results": p.Results, "position": p.Position, "uncertain": p.Uncertain, "complete": p.Complete, "seconds": time.Since(begin).Seconds(),
	}
	if printErr := json.NewEncoder(parsed.Stdout).Encode(report); printErr != nil {
		return fmt.Errorf("print the report: %w", printErr)
	}
	if stopped {
		return nil
	}
	return err
}

func (c sendCommand) config(ctx context.Context, log *slog.Logger) (list.Config, error) {
	set, err := template.Load(os.DirFS(c.Templates))
	if err != nil {
		return list.Config{}, fmt.Errorf("%w: %w", serving.ErrUsage, err)
	}
	t := set[c.Template]
	if t == nil {
		return list.Config{}, fmt.Errorf("%w: %s has no template %s", serving.ErrUsage, c.Templates, c.Template)
	}
	cfg := list.Config{
		Campaign: list.Campaign{Name: c.Campaign, Template: t}, Path: c.List, Progress: c.Progress, Failures: c.Failures,
		Rate: c.Rate, Concurrency: c.Concurrency, Batch: c.Batch, DryRun: c.DryRun,
	}
	if cfg.Name == "" {
		cfg.Name = t.Name
	}
	if c.Users {
		cfg.Engine, err = c.engine(ctx, template.Set{t.Name: t}, log)
		return cfg, err
	}
	var sdk aws.Config
	if os.Getenv("SES_FROM") != "" {
		if sdk, err = awssdk.Load(ctx); err != nil {
			return cfg, err
		}
	}
	cfg.Channels, err = setup.Channels(ctx, os.Getenv, sdk)
	return cfg, err
}
