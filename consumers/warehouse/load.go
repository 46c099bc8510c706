package warehouse

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/events"
)

// Event is an event as it was delivered.
type Event struct {
	Position events.Position
	Shard    string
	Arrived  time.Time // by the clock of Kinesis
	Raw      []byte    // need not be an event
}

// Store is where objects are written, S3 as a rule. Safe for concurrent use.
type Store interface {
	// Put writes an object, or replaces it, whole or not at all.
	Put(ctx context.Context, name string, data []byte) error
}

// Loader writes rows. Safe for concurrent use.
type Loader struct {
	Catalog *Catalog
	Store   Store
}

// Result is what became of a batch.
type Result struct {
	Rows    int
	Objects []string // that were written, by name
}

// inFlight is how many objects are written at the same time.
const inFlight = 4

// Load writes the rows of a batch, one object for each table and day of arrival:
//
//	<table>/dt=<day>/<batch>.json.gz
//
// The name of the batch must follow from which events are in it, as the first and the last
// position with the shard do: then loading it again replaces what it wrote before, byte for
// byte. All of a batch is in memory, so it is one of Lambda's, or an object of an archive.
//
// After an error, of the events or of the store, some objects may be written: load the same
// batch again.
func (l *Loader) Load(ctx context.Context, batch string, all iter.Seq2[Event, error]) (Result, error) {
	var result Result
	files := map[string]*bytes.Buffer{}
	for e, err := range all {
		if err != nil {
			return result, fmt.Errorf("warehouse: read the events of %s: %w", batch, err)
		}
		table, line, err := l.Catalog.row(e)
		if err != nil {
			return result, fmt.Errorf("warehouse: row of %v in %s: %w", e.Position, batch, err)
		}
		name := fmt.Sprintf("%s/dt=%s/%s.json.gz", table.Name, e.Arrived.UTC().Format(time.DateOnly), batch)
		if files[name] == nil {
			files[name] = &bytes.Buffer{}
		}
		files[name].Write(line)
		result.Rows++
	}
	result.Objects = slices.Sorted(maps.Keys(files))
	return result, l.write(ctx, files)
}

func (l *Loader) write(ctx context.Context, files map[string]*bytes.Buffer) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(inFlight)
	for name, text := range files {
		group.Go(func() error {
			var zipped bytes.Buffer
			z := gzip.NewWriter(&zipped)
			_, _ = z.Write(text.Bytes()) // to memory
			_ = z.Close()
			if err := l.Store.Put(ctx, name, zipped.Bytes()); err != nil {
				return fmt.Errorf("warehouse: %w", err)
			}
			return nil
		})
	}
	return group.Wait()
}
