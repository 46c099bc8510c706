// Command banyan-demo migrates a sample monolith while simulated apps use it and checks
// every invariant (run), or starts the same environment and leaves it running (up).
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/infra/demo"
	"github.com/banyan-fig/banyan/infra/serving"
)

type load struct {
	Size int    `help:"Users that the monolith starts with." default:"10000" env:"SIZE"`
	Rate int    `help:"Requests a second." default:"200" env:"RATE"`
	Data string `help:"mongoexport file of users (extended JSON) instead of generated ones." env:"DATA" type:"path"`
	Bin  string `help:"Folder of the binaries; default: this program's." type:"path"`
	Keep bool   `help:"Keep the work folder with every program's log, also after success."`
}

func (f load) config() demo.Config {
	return demo.Config{Size: f.Size, Rate: f.Rate, Data: f.Data, Bin: f.Bin, Keep: f.Keep}
}

type world struct {
	load
	Seed   uint64 `help:"Seed of the generated data, the traffic and the faults." default:"1" env:"SEED"`
	Report string `help:"File for the summary as JSON." env:"REPORT" type:"path"`
}

func (f world) config() demo.Config {
	cfg := f.load.config()
	cfg.Seed, cfg.Report = f.Seed, f.Report
	return cfg
}

type flags struct {
	Run struct {
		world
		Chaos bool `help:"Inject throttles, time-outs, partial failures and duplicates, and kill the migrating process at random." env:"CHAOS"`
	} `cmd:"" default:"withargs" help:"Run the whole demo, then check every invariant."`
	Seeds struct {
		load
		Seeds string `arg:"" help:"Seeds, such as 1-100 or 3,7,20-29."`
	} `cmd:"" help:"Run the demo under chaos with one seed after the other; prints a line a seed."`
	Up struct {
		world
	} `cmd:"" help:"Start everything, print the addresses and what to try, and run until SIGINT or SIGTERM."`
}

func main() { newCommand().Main() }

func newCommand() serving.Command {
	var f flags
	return serving.Command{
		Name: "banyan-demo", Description: "Migrates a sample monolith while simulated apps use it, and checks every invariant.", Grammar: &f,
		Exits: []serving.Exit{
			{Code: serving.ExitFailure, Meaning: "an invariant was broken, or a part failed"},
			{Code: exitStopped, Meaning: "stopped before the end"},
		},
		Run: func(ctx context.Context, parsed *kong.Context, _ *slog.Logger) error {
			start, cfg := demo.Run, f.Run.config()
			cfg.Chaos = f.Run.Chaos
			switch parsed.Command() {
			case "up":
				start, cfg = demo.Up, f.Up.config()
			case "seeds <seeds>":
				seeds, err := demo.ParseSeeds(f.Seeds.Seeds)
				if err != nil {
					return fmt.Errorf("%w: %w", serving.ErrUsage, err)
				}
				cfg = f.Seeds.config()
				start = func(ctx context.Context, cfg demo.Config) error { return demo.RunSeeds(ctx, cfg, seeds) }
			}
			if err := cfg.Validate(); err != nil {
				return fmt.Errorf("%w: %w", serving.ErrUsage, err)
			}
			err := start(ctx, cfg)
			if errors.Is(err, context.Canceled) {
				return &serving.ExitError{Code: exitStopped, Err: errors.New("stopped before the end")}
			}
			return err
		},
	}
}

// exitStopped is the exit code after SIGINT and SIGTERM.
const exitStopped = 130
