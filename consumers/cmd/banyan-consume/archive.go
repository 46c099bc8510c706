package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/consumers/archive"
	"github.com/banyan-fig/banyan/consumers/replay"
	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/serving"
)

// archiveCommand are the verbs for archives.
type archiveCommand struct {
	Verify archiveVerifyCommand `cmd:"" help:"Read an archive, and find what is missing, truncated, altered or extra."`
	Seal   archiveSealCommand   `cmd:"" help:"Write the manifests of the days that are over. Run it once a day."`
}

// archiveFlags name an archive.
type archiveFlags struct {
	Archive string `help:"Address of the archive of one stream: s3://bucket/prefix/stream, or a folder." required:"" env:"BANYAN_ARCHIVE"`
}

func (f archiveFlags) open(ctx context.Context) (archive.Store, aws.Config, error) {
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return nil, sdk, err
	}
	store, err := archive.Open(sdk, f.Archive)
	if err != nil {
		err = fmt.Errorf("%w: %w", serving.ErrUsage, err)
	}
	return store, sdk, err
}

// rangeFlags are a time from and until.
type rangeFlags struct {
	From  moment `help:"Only what arrived since then: a time such as 2026-11-30T09:00:00Z, or how long ago, such as 2h." placeholder:"TIME"`
	Until moment `help:"Only what arrived before then." placeholder:"TIME"`
}

func (f rangeFlags) within() archive.Range {
	return archive.Range{From: time.Time(f.From), Until: time.Time(f.Until)}
}

type archiveVerifyCommand struct {
	archiveFlags
	rangeFlags
	asJSON
	Stream  string        `help:"Hold the archive to what this stream still has, too." env:"EVENTS_STREAM"`
	Settled time.Duration `help:"How old a record is that must be archived." default:"10m"`
}

// verified is what is printed.
type verified struct {
	archive.Totals
	Stream   *archive.Comparison `json:",omitempty"`
	Problems []string
}

// most is how many problems are listed; all are counted.
const most = 100

var errDamaged = errors.New("the archive is not what was written")

// Run verifies.
func (c *archiveVerifyCommand) Run(ctx context.Context, parsed *kong.Context) error {
	store, sdk, err := c.open(ctx)
	if err != nil {
		return err
	}
	var v verified
	problems := 0
	add := func(text string) {
		if problems++; problems <= most {
			v.Problems = append(v.Problems, printable(text))
		}
	}
	if v.Totals, err = archive.Verify(ctx, store, c.within(), func(p archive.Problem) { add(p.Err.Error()) }); err != nil {
		return err
	}
	if c.Stream != "" {
		if err := c.compare(ctx, sdk, store, &v, add); err != nil {
			return err
		}
	}
	if err := c.print(parsed, v); err != nil {
		return err
	}
	if problems > 0 {
		return &serving.ExitError{Code: exitDamaged, Err: fmt.Errorf("verify %v: %w: %d problems", store, errDamaged, problems)}
	}
	return nil
}

func (c *archiveVerifyCommand) compare(ctx context.Context, sdk aws.Config, store archive.Store, v *verified, add func(string)) error {
	stream, err := replay.Stream{Client: kinesis.NewFromConfig(sdk), Name: c.Stream}.Open(ctx, c.within())
	if err != nil {
		return err
	}
	compared, err := archive.Compare(ctx, store, stream, time.Now().Add(-c.Settled), func(r archive.Record) {
		add(fmt.Sprintf("record %s of %s, which arrived at %s, is not archived", r.Sequence, r.Shard, r.Arrived.Format(time.RFC3339)))
	})
	v.Stream = &compared
	return err
}

func (c *archiveVerifyCommand) print(parsed *kong.Context, v verified) error {
	if c.JSON {
		return printJSON(parsed.Stdout, v)
	}
	_, err := fmt.Fprintf(parsed.Stdout, "%d objects, %d records, %d events, %d bytes\n", v.Objects, v.Records, v.Events, v.Bytes)
	if v.Unsealed > 0 {
		_, _ = fmt.Fprintf(parsed.Stdout, "%d objects are of days that are not sealed: nobody knows if others are missing beside them\n", v.Unsealed)
	}
	if v.Stream != nil {
		_, _ = fmt.Fprintf(parsed.Stdout, "%d records of the stream, %d of them still to be archived\n", v.Stream.Records, v.Stream.Pending)
	}
	for _, p := range v.Problems {
		_, _ = fmt.Fprintln(parsed.Stdout, p)
	}
	return err
}

type archiveSealCommand struct {
	archiveFlags
}

// Run seals.
func (c *archiveSealCommand) Run(ctx context.Context, parsed *kong.Context, _ *slog.Logger) error {
	store, _, err := c.open(ctx)
	if err != nil {
		return err
	}
	return archive.Seal(ctx, store, time.Now(), func(name string, objects int) {
		_, _ = fmt.Fprintf(parsed.Stdout, "%s: %d objects\n", name, objects)
	})
}
