package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers/recommend"
	"github.com/banyan-fig/banyan/infra/awssdk"
)

// recommendCommand are the verbs for tables of package recommend.
type recommendCommand struct {
	Sweep  recommendSweepCommand  `cmd:"" help:"Derive the lists of the users who are due, until nobody is."`
	Export recommendExportCommand `cmd:"" help:"Write the graph to files for a batch engine. It scans the table, eventually consistent."`
}

type recommendSweepCommand struct {
	Table string `help:"Table of the read model." required:"" env:"RECOMMEND_TABLE"`
}

// Run sweeps.
func (c *recommendSweepCommand) Run(ctx context.Context, parsed *kong.Context) error {
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return err
	}
	model, err := recommend.New(recommend.Config{Client: dynamodb.NewFromConfig(sdk), Table: c.Table})
	if err != nil {
		return err
	}
	for {
		derived, left, err := model.Sweep(ctx)
		_, _ = fmt.Fprintf(parsed.Stdout, "derived %s\n", count(derived, "list"))
		if err != nil || derived+left == 0 {
			return err
		}
	}
}

type recommendExportCommand struct {
	Table  string `help:"Table of the read model." required:"" env:"RECOMMEND_TABLE"`
	To     string `help:"Folder for the files, which it makes." required:"" placeholder:"FOLDER"`
	Format string `help:"neo4j: nodes.csv and relationships.csv, as neo4j-admin imports them; json: connections.ndjson, a line each." enum:"neo4j,json" default:"neo4j"`
	Units  int    `help:"Read units a second at most." default:"500"`
}

const importCommand = "neo4j-admin database import full --nodes=User=nodes.csv --relationships=CONNECTED=relationships.csv" +
	" --skip-duplicate-nodes --skip-bad-relationships neo4j"

// Run writes the files under other names until they are whole.
func (c *recommendExportCommand) Run(ctx context.Context, parsed *kong.Context) (err error) {
	if c.Units < 1 {
		return errors.New("--units must be at least 1")
	}
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.To, 0o750); err != nil {
		return fmt.Errorf("make the folder for the export: %w", err)
	}
	files, node, edge := c.writers()
	defer func() {
		for _, f := range files {
			err = errors.Join(err, f.end(err == nil))
		}
	}()
	nodes, edges := 0, 0
	err = recommend.Export(ctx, dynamodb.NewFromConfig(sdk), c.Table, c.Units,
		func(id string) error { nodes++; return node(id) },
		func(from, to string) error { edges++; return edge(from, to) })
	if err == nil {
		_, _ = fmt.Fprintf(parsed.Stdout, "%s, %s\n", count(nodes, "node"), count(edges, "connection"))
		if c.Format == "neo4j" {
			_, _ = fmt.Fprintln(parsed.Stdout, importCommand)
		}
	}
	return err
}

// writers are those of the format.
func (c *recommendExportCommand) writers() (files []*exportFile, node func(string) error, edge func(from, to string) error) {
	if c.Format == "json" {
		f := &exportFile{name: filepath.Join(c.To, "connections.ndjson")}
		return []*exportFile{f}, func(string) error { return nil }, func(from, to string) error {
			line, err := json.Marshal(map[string]string{"from": from, "to": to})
			return errors.Join(err, f.write(append(line, '\n')))
		}
	}
	nodes, relationships := &exportFile{name: filepath.Join(c.To, "nodes.csv")}, &exportFile{name: filepath.Join(c.To, "relationships.csv")}
	nodes.header, relationships.header = []string{"id:ID"}, []string{":START_ID", ":END_ID"}
	return []*exportFile{nodes, relationships},
		func(id string) error { return nodes.record(id) },
		func(from, to string) error { return relationships.record(from, to) }
}

// exportFile is made with the first write, or at the end.
type exportFile struct {
	name   string
	header []string
	file   *os.File
	buffer *bufio.Writer
	csv    *csv.Writer
}

func (f *exportFile) open() (err error) {
	if f.file != nil {
		return nil
	}
	if f.file, err = os.OpenFile(f.name+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	f.buffer = bufio.NewWriter(f.file)
	f.csv = csv.NewWriter(f.buffer)
	if f.header != nil {
		return f.csv.Write(f.header)
	}
	return nil
}

func (f *exportFile) write(line []byte) error {
	if err := f.open(); err != nil {
		return err
	}
	_, err := f.buffer.Write(line)
	return err
}

func (f *exportFile) record(fields ...string) error {
	if err := f.open(); err != nil {
		return err
	}
	return f.csv.Write(fields)
}

// end gives the file its name, if it is whole.
func (f *exportFile) end(isWhole bool) error {
	if err := f.open(); err != nil {
		return err
	}
	f.csv.Flush()
	err := errors.Join(f.csv.Error(), f.buffer.Flush(), f.file.Close())
	if err != nil || !isWhole {
		return errors.Join(err, os.Remove(f.name+".new"))
	}
	return os.Rename(f.name+".new", f.name)
}
