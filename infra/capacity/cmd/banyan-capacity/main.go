// Command banyan-capacity prints what a load needs and costs: see package
// capacity for the formulas, and --help for what can be said of the load.
//
// Exit codes: 0 done, 1 it failed, 2 wrong usage.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/infra/capacity"
	"github.com/banyan-fig/banyan/infra/serving"
)

type grammar struct {
	Rate float64 `required:"" placeholder:"EVENTS" help:"Events a second."`
	Size int     `default:"500" help:"Bytes of an encoded event."`
	Key  int     `default:"24" help:"Bytes of a partition key."`
	Use  float64 `default:"0.7" help:"Part of a shard and of provisioned capacity that is used."`

	Publishers int           `default:"4" help:"Processes that publish."`
	Linger     time.Duration `default:"5ms" help:"How long an event waits for company."`
	RoundTrip  time.Duration `default:"15ms" help:"Time of a PutRecords."`

	ReadModels int     `default:"2" help:"Functions that each get every event."`
	Items      float64 `default:"3" help:"Items a read model writes for an event."`
	FanOut     float64 `default:"0" help:"Items more for an event, such as timeline entries."`
	ItemSize   int     `default:"300" help:"Bytes of an item."`
	Plain      bool    `help:"Items are not written in transactions."`
	EFO        bool    `name:"efo" help:"Enhanced fan-out for each read model."`

	Batch    int           `default:"100" help:"Records in a batch."`
	Window   time.Duration `default:"0s" help:"Batching window."`
	Memory   int           `default:"512" help:"Memory of a function in MB."`
	Arch     string        `enum:"arm64,x86_64" default:"arm64" help:"Architecture: ${enum}."`
	Overhead time.Duration `default:"10ms" help:"Time of an invocation besides its events."`
	PerEvent time.Duration `default:"1ms" help:"Time of an event in a function."`

	Messages float64 `default:"0" help:"Messages a second of a queue, to compare loops and mappings."`
	Loops    int     `default:"0" help:"Loops of that queue; as many as needed, if not given."`

	Region string `default:"us-east-1" env:"BANYAN_CAPACITY_REGION" help:"Region of the prices."`
	Prices string `type:"existingfile" env:"BANYAN_CAPACITY_PRICES" help:"File of prices like infra/capacity/prices.yaml, instead of those built in."`
	JSON   bool   `name:"json" help:"Print everything as JSON, the prices with their sources included."`
}

func (g *grammar) load() capacity.Load {
	return capacity.Load{
		Rate: g.Rate, Size: g.Size, Key: g.Key, Use: g.Use,
		Publishers: g.Publishers, Linger: g.Linger, RoundTrip: g.RoundTrip,
		ReadModels: g.ReadModels, Items: g.Items, FanOut: g.FanOut, ItemBytes: g.ItemSize, Plain: g.Plain, EnhancedFanOut: g.EFO,
		Batch: g.Batch, Window: g.Window, MemoryMB: g.Memory, Architecture: g.Arch, Overhead: g.Overhead, PerEvent: g.PerEvent,
		Messages: g.Messages, Loops: g.Loops,
	}
}

// Validate refuses what makes no sense as wrong usage, and a 0 that would be taken
// for the default.
func (g *grammar) Validate() error {
	if g.Rate <= 0 {
		return errors.New("--rate must be more than 0, such as --rate 1000")
	}
	for flag, zero := range map[string]bool{
		"size": g.Size == 0, "key": g.Key == 0, "use": g.Use == 0, "publishers": g.Publishers == 0, "linger": g.Linger == 0,
		"round-trip": g.RoundTrip == 0, "read-models": g.ReadModels == 0, "items": g.Items == 0, "item-size": g.ItemSize == 0,
		"batch": g.Batch == 0, "memory": g.Memory == 0, "overhead": g.Overhead == 0, "per-event": g.PerEvent == 0,
	} {
		if zero {
			return fmt.Errorf("--%s must be more than 0", flag)
		}
	}
	return g.load().Validate()
}

func (g *grammar) run(out io.Writer) error {
	prices, err := g.prices()
	if err != nil {
		return fmt.Errorf("%w: %w", serving.ErrUsage, err)
	}
	e, err := capacity.New(g.load(), prices)
	if err != nil {
		return err
	}
	if !g.JSON {
		return e.Write(out)
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(e); err != nil {
		return fmt.Errorf("write the estimate: %w", err)
	}
	return nil
}

func (g *grammar) prices() (capacity.Prices, error) {
	if g.Prices == "" {
		return capacity.Published(g.Region)
	}
	file, err := os.ReadFile(g.Prices)
	if err != nil {
		return capacity.Prices{}, fmt.Errorf("read the prices: %w", err)
	}
	return capacity.ParsePrices(file, g.Region)
}

func command(out io.Writer) serving.Command {
	g := new(grammar)
	return serving.Command{
		Name:        "banyan-capacity",
		Description: "Prints shards, requests, function time, write units and dollars a month for a load, with and without aggregation.",
		Grammar:     g,
		Run:         func(context.Context, *kong.Context, *slog.Logger) error { return g.run(out) },
	}
}

func main() { command(os.Stdout).Main() }
