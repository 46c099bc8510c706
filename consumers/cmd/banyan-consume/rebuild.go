package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/banyan-fig/banyan/consumers/rebuild"
	"github.com/banyan-fig/banyan/consumers/rebuild/livetable"
	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/serving"
)

// rebuildCommand are the verbs for a read model that is built anew.
type rebuildCommand struct {
	Start   rebuildStartCommand   `cmd:"" help:"Replay to the function of the new table, and follow the stream until it is stopped. Again: go on."`
	Status  rebuildStatusCommand  `cmd:"" help:"Say how far the new table is, and which one is live."`
	Compare rebuildCompareCommand `cmd:"" help:"Hold the new table to the live one."`
	Switch  rebuildSwitchCommand  `cmd:"" help:"Compare, then let readers follow to the new table; return once all do."`
	Back    rebuildBackCommand    `cmd:"" help:"Let readers follow to the former table; return once all do."`
	Remove  rebuildRemoveCommand  `cmd:"" help:"End the rebuild, and the way back. It deletes no table, and says which one may be."`
}

// rebuildFlags name a rebuild.
type rebuildFlags struct {
	Model    string `arg:"" help:"Name of the read model, as its readers have it."`
	Rebuilds string `help:"Control table of rebuilds, with the keys pk and sk." default:"${rebuilds}" env:"REBUILD_TABLE"`
}

func (f rebuildFlags) open(ctx context.Context) (rebuild.Control, *dynamodb.Client, *lambda.Client, error) {
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return rebuild.Control{}, nil, nil, err
	}
	client := dynamodb.NewFromConfig(sdk)
	return rebuild.Control{Client: client, Table: f.Rebuilds}, client, lambda.NewFromConfig(sdk), nil
}

type rebuildStartCommand struct {
	rebuildFlags
	sourceFlags
	Live     string `help:"Table that is live while there is no pointer: the one of the readers' setting." required:""`
	Table    string `help:"Table to build, empty at first." required:""`
	Function string `help:"Function that writes to it, with an alias if it has one." required:""`
}

// Run fills the table.
func (c *rebuildStartCommand) Run(ctx context.Context, parsed *kong.Context, log *slog.Logger) error {
	if c.Stream == "" {
		return fmt.Errorf("%w: --stream is required, to follow it", serving.ErrUsage)
	}
	control, _, functions, err := c.open(ctx)
	if err != nil {
		return err
	}
	opened, err := c.openReplay(ctx, c.Function, log)
	if err != nil {
		return err
	}
	if err := c.check(ctx, control, functions, opened.replay.StreamARN); err != nil {
		return err
	}
	logged := time.Time{}
	r := &rebuild.Rebuild{
		Control: control, Live: c.Live, Replay: opened.replay, Archive: opened.sources.Archive, Stream: opened.sources.Stream,
		Plan: rebuild.Plan{Model: c.Model, Table: c.Table, Function: opened.arn, Archive: c.Archive, Stream: c.Stream},
		Noted: func(s rebuild.State) {
			if time.Since(logged) > 10*time.Second {
				logged = time.Now()
				log.Info("replayed", "events", s.Replay.Events, "through", s.Replay.Through, "caught_up", s.CaughtUp)
			}
		},
	}
	if err := r.Run(ctx); ctx.Err() == nil || errors.Is(err, rebuild.ErrTakenOver) {
		return err
	}
	_, _ = fmt.Fprintln(parsed.Stdout, "stopped: run it again to go on")
	return &serving.ExitError{Code: exitStopped}
}

// check refuses a function that writes elsewhere, and one to which a mapping delivers what comes
// after events that were not replayed yet.
func (c *rebuildStartCommand) check(ctx context.Context, control rebuild.Control, functions *lambda.Client, stream string) error {
	p, err := control.Pointer(ctx, c.Model)
	if err != nil {
		return err
	}
	other := cmp.Or(p.Table, c.Live)
	if other == c.Table {
		other = p.Former
	}
	if err := rebuild.CheckFunction(ctx, functions, c.Function, c.Table, other); err != nil {
		return err
	}
	s, err := control.State(ctx, c.Model)
	if err != nil && !errors.Is(err, rebuild.ErrNone) || !s.CaughtUp.IsZero() {
		return err
	}
	fed, err := rebuild.IsFed(ctx, functions, c.Function, stream)
	if err == nil && fed {
		err = fmt.Errorf("a mapping delivers %s to %s already: disable it until the rebuild has caught up, as events must not come before earlier ones",
			c.Stream, c.Function)
	}
	return err
}

type rebuildStatusCommand struct {
	rebuildFlags
	asJSON
}

// rebuildStatus is what is printed; without the positions, which are many.
type rebuildStatus struct {
	livetable.Pointer
	Rebuild rebuild.State `json:"rebuild"`
}

// Run prints the status.
func (c *rebuildStatusCommand) Run(ctx context.Context, parsed *kong.Context) error {
	control, _, _, err := c.open(ctx)
	if err != nil {
		return err
	}
	s, p, err := control.Both(ctx, c.Model)
	if err != nil {
		return err
	}
	s.Replay.After = nil
	if c.JSON {
		return printJSON(parsed.Stdout, rebuildStatus{p, s})
	}
	stage := "reading the archive"
	switch {
	case !s.CaughtUp.IsZero():
		stage = "caught up at " + timeText(s.CaughtUp)
	case s.Archived:
		stage = "reading the stream, not caught up yet"
	}
	_, err = fmt.Fprintf(parsed.Stdout, "%s: %s is live since %s (epoch %d)%s\n%s by %s: %d events through %s, %s; last written %s\n",
		c.Model, p.Table, timeText(p.Since), p.Epoch, formerText(p), s.Plan.Table, s.Plan.Function,
		s.Replay.Events, timeText(s.Replay.Through), stage, timeText(s.Noted))
	return err
}

func formerText(p livetable.Pointer) string {
	if p.Former == "" {
		return ""
	}
	return ", " + p.Former + " was before"
}

type compareFlags struct {
	Sample    int           `help:"Items of each table to compare; where these are all, the counts need not be." default:"10000"`
	Seed      uint64        `help:"Which ones; 0 for others each time."`
	Units     int           `help:"Read units a second at most, of each table." default:"500"`
	Tolerance float64       `help:"Share of items by which the counts may differ." default:"0.001"`
	Patience  time.Duration `help:"How long items that differ are read again." default:"1m"`
	Skip      []string      `help:"Leave out partition keys with this prefix. Several may be given." sep:"none" placeholder:"PREFIX"`
	Ignore    []string      `help:"Leave out this attribute. Several may be given." sep:"none" placeholder:"ATTRIBUTE"`
}

// run compares, and prints what was found.
func (f compareFlags) run(ctx context.Context, client rebuild.TablesAPI, live, table string, asJSON bool, w io.Writer) error {
	found, err := rebuild.Compare{
		Client: client, Old: live, New: table, Sample: f.Sample, Seed: cmp.Or(f.Seed, uint64(time.Now().UnixNano())), Units: f.Units,
		Tolerance: f.Tolerance, Patience: f.Patience, Skip: f.Skip, Ignore: f.Ignore,
	}.Run(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		err = printJSON(w, found)
	} else {
		for _, text := range found.Different {
			_, _ = fmt.Fprintln(w, printable(text))
		}
		_, err = fmt.Fprintf(w, "%s has %s, %s has %s; %d compared by seed %d, %d different\n", live, count(found.OldItems, "item"),
			table, count(found.NewItems, "item"), found.Compared, found.Seed, len(found.Different))
	}
	if differs := found.Err(); differs != nil {
		return &serving.ExitError{Code: exitDiffers, Err: differs}
	}
	return err
}

type rebuildCompareCommand struct {
	rebuildFlags
	compareFlags
	asJSON
}

// Run compares the live table and the new one, or after the switch the former one.
func (c *rebuildCompareCommand) Run(ctx context.Context, parsed *kong.Context) error {
	control, client, _, err := c.open(ctx)
	if err != nil {
		return err
	}
	s, p, err := control.Both(ctx, c.Model)
	if err != nil {
		return err
	}
	if p.Table == s.Plan.Table {
		p.Table = p.Former
	}
	return c.run(ctx, client, p.Table, s.Plan.Table, c.JSON, parsed.Stdout)
}

type rebuildSwitchCommand struct {
	rebuildFlags
	compareFlags
	Age time.Duration `help:"How old what readers know of the pointer may be." default:"5s"`
}

// Run switches. A switch that was made is not compared again.
func (c *rebuildSwitchCommand) Run(ctx context.Context, parsed *kong.Context) error {
	control, client, functions, err := c.open(ctx)
	if err != nil {
		return err
	}
	s, p, err := control.Both(ctx, c.Model)
	if err != nil {
		return err
	}
	if p.Table != s.Plan.Table {
		if s.CaughtUp.IsZero() {
			return fmt.Errorf("%s has not caught up with the stream: let rebuild start run until rebuild status says so", s.Plan.Table)
		}
		fed, err := rebuild.IsFed(ctx, functions, s.Plan.Function, streamARN(s.Plan.Function, s.Plan.Stream))
		if err == nil && !fed {
			err = fmt.Errorf("no mapping delivers %s to %s: enable it, since the new table must be kept once start is stopped", s.Plan.Stream, s.Plan.Function)
		}
		if err != nil {
			return err
		}
		if err := c.run(ctx, client, p.Table, s.Plan.Table, false, parsed.Stdout); err != nil {
			return err
		}
	}
	p, err = control.Switch(ctx, p, s.Plan.Table, c.Age)
	return printMoved(parsed.Stdout, p, err)
}

func printMoved(w io.Writer, p livetable.Pointer, err error) error {
	if err == nil {
		_, err = fmt.Fprintf(w, "%s: readers read from %s; %s is kept for the way back\n", p.Model, p.Table, p.Former)
	}
	return err
}

type rebuildBackCommand struct {
	rebuildFlags
	Age time.Duration `help:"How old what readers know of the pointer may be." default:"5s"`
}

// Run goes back.
func (c *rebuildBackCommand) Run(ctx context.Context, parsed *kong.Context) error {
	control, _, _, err := c.open(ctx)
	if err != nil {
		return err
	}
	p, err := control.Back(ctx, c.Model, c.Age)
	return printMoved(parsed.Stdout, p, err)
}

type rebuildRemoveCommand struct {
	rebuildFlags
}

// Run ends the rebuild.
func (c *rebuildRemoveCommand) Run(ctx context.Context, parsed *kong.Context) error {
	control, _, _, err := c.open(ctx)
	if err != nil {
		return err
	}
	left, p, err := control.Remove(ctx, c.Model)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(parsed.Stdout, "%s: %s stays live, by the pointer; table %s may be deleted, once %s is stopped\n",
		c.Model, p.Table, left.Table, cmp.Or(left.Function, "the consumer that writes to it"))
	return err
}
