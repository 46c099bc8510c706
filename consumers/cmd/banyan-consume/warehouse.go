package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/consumers/archive"
	"github.com/banyan-fig/banyan/consumers/warehouse"
	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/serving"
)

// warehouseCommand are the verbs for rows of events in a data warehouse.
type warehouseCommand struct {
	Schema warehouseSchemaCommand `cmd:"" help:"Print the schema of a table, or the statements that create and load it."`
	Load   warehouseLoadCommand   `cmd:"" help:"Make rows of what is in an archive. Loading twice does no harm."`
}

// catalogFlags name the types of events.
type catalogFlags struct {
	Schemas string `help:"AsyncAPI document (JSON) of the types of events." required:"" env:"SCHEMAS" placeholder:"FILE"`
}

func (f catalogFlags) read() (*warehouse.Catalog, error) {
	c, err := warehouse.ReadCatalogFile(f.Schemas)
	if err != nil {
		return nil, fmt.Errorf("%w: --schemas: %w", serving.ErrUsage, err)
	}
	return c, nil
}

type warehouseSchemaCommand struct {
	catalogFlags
	Engine    string `arg:"" help:"bigquery, athena or redshift." enum:"bigquery,athena,redshift"`
	Table     string `help:"Only this table; bigquery needs one, the others print all."`
	Warehouse string `help:"Where the rows are: s3://bucket/prefix. For athena and redshift." env:"WAREHOUSE" placeholder:"ADDRESS"`
	Role      string `help:"ARN of the IAM role that Redshift reads them with." placeholder:"ARN"`
	Day       string `help:"For athena the first day of rows; for redshift the day to load. Default: today." placeholder:"YYYY-MM-DD"`
}

// Run prints what the engine takes.
func (c *warehouseSchemaCommand) Run(parsed *kong.Context) error {
	catalog, err := c.read()
	if err != nil {
		return err
	}
	if c.Day == "" {
		c.Day = time.Now().UTC().Format(time.DateOnly)
	}
	if _, err := time.Parse(time.DateOnly, c.Day); err != nil {
		return fmt.Errorf("%w: --day must be a day such as 2026-11-30, not %q", serving.ErrUsage, c.Day)
	}
	if c.Engine != "bigquery" && c.Warehouse == "" || c.Engine == "redshift" && c.Role == "" || c.Engine == "bigquery" && c.Table == "" {
		return fmt.Errorf("%w: bigquery needs --table, athena --warehouse, redshift --warehouse and --role", serving.ErrUsage)
	}
	printed := false
	for _, t := range catalog.Tables() {
		if c.Table != "" && c.Table != t.Name {
			continue
		}
		text, err := c.text(t)
		if err != nil {
			return err
		}
		if printed {
			text = "\n" + text
		}
		printed = true
		_, _ = fmt.Fprint(parsed.Stdout, text)
	}
	if !printed {
		return fmt.Errorf("%w: --table: the document has no type with a table %q; --table other is that of all other types", serving.ErrUsage, c.Table)
	}
	return nil
}

func (c *warehouseSchemaCommand) text(t *warehouse.Table) (string, error) {
	switch c.Engine {
	case "bigquery":
		out, err := t.BigQuery()
		return string(out), err
	case "athena":
		return t.Athena(c.Warehouse, c.Day), nil
	case "redshift":
		return t.Redshift(c.Warehouse, c.Role, c.Day), nil
	}
	return "", errors.New("unknown engine " + c.Engine)
}

type warehouseLoadCommand struct {
	catalogFlags
	Archive   string `help:"The archive, with the stream's name: s3://bucket/prefix/stream, or a folder." required:"" env:"ARCHIVE" placeholder:"ADDRESS"`
	Warehouse string `help:"Where the rows go: s3://bucket/prefix, or a folder." required:"" env:"WAREHOUSE" placeholder:"ADDRESS"`
	First     day    `help:"First day of arrival to load." placeholder:"YYYY-MM-DD"`
	Last      day    `help:"Last day of arrival to load." placeholder:"YYYY-MM-DD"`
}

// day is a flag with a day, in UTC.
type day time.Time

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *day) UnmarshalText(text []byte) error {
	at, err := time.Parse(time.DateOnly, string(text))
	*d = day(at)
	if err != nil {
		return fmt.Errorf("must be a day such as 2026-11-30, not %q", text)
	}
	return nil
}

// Run loads object after object, by day, and ends with the first that fails.
func (c *warehouseLoadCommand) Run(ctx context.Context, parsed *kong.Context) error {
	catalog, err := c.read()
	if err != nil {
		return err
	}
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return err
	}
	from, errFrom := archive.Open(sdk, c.Archive)
	to, errTo := archive.Open(sdk, c.Warehouse)
	if err := errors.Join(errFrom, errTo); err != nil {
		return fmt.Errorf("%w: --archive and --warehouse: %w", serving.ErrUsage, err)
	}
	loader := &warehouse.Loader{Catalog: catalog, Store: to}
	within := archive.Range{From: time.Time(c.First)}
	if last := time.Time(c.Last); !last.IsZero() {
		within.Until = last.AddDate(0, 0, 1).Add(-time.Nanosecond)
	}
	objects, rows := 0, 0
	for name, err := range archive.Objects(ctx, from, within) {
		if err != nil {
			return err
		}
		result, err := loader.LoadObject(ctx, from, name)
		if err != nil {
			return fmt.Errorf("%w (what precedes %s is loaded)", err, name)
		}
		objects, rows = objects+1, rows+result.Rows
	}
	_, _ = fmt.Fprintf(parsed.Stdout, "%s of the archive, %s\n", count(objects, "object"), count(rows, "row"))
	return nil
}
