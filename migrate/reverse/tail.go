package reverse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/dynamostream"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
)

// place is a place in each shard of the table's stream, as the way back has come.
type place struct {
	Stream string            `json:"stream"`
	At     map[string]string `json:"at"`   // the last sequence number; "" for before all that the stream keeps
	Done   []string          `json:"done"` // shards that are at their ends
}

// Place is the place in the table's stream up to which all is in MongoDB, for [Reverse.Tail].
func (r *Reverse) Place(ctx context.Context) ([]byte, error) {
	arn, err := r.Tables.StreamARN(ctx)
	if err != nil {
		return nil, err
	}
	all, err := r.loadRows(ctx)
	if err != nil {
		return nil, err
	}
	p := place{Stream: arn, At: map[string]string{}}
	for shard, row := range all[arn] {
		switch {
		case shard == "":
		case row.Done:
			p.Done = append(p.Done, shard)
		default:
			p.At[shard] = row.Sequence
		}
	}
	return json.Marshal(p)
}

// Tail collects which items were written behind a place of the table's stream. It reads the
// stream by itself: so it also finds what the way back has missed. It is safe for concurrent
// use.
type Tail struct {
	reverse *Reverse
	stream  dynamostream.Stream
	// Pace hurries it.
	Pace dynamostream.Pace

	mu      sync.Mutex
	at      map[string]string // the last sequence number that was read of a shard
	done    map[string]bool
	reading map[string]bool
	ids     map[string]bson.RawValue
}

// Tail begins at a place. It sends nothing yet.
func (r *Reverse) Tail(from []byte) (*Tail, error) {
	var p place
	if err := json.Unmarshal(from, &p); err != nil || p.Stream == "" {
		return nil, fmt.Errorf("read on from a place of the table's stream: %w", errors.Join(errNoPlace, err))
	}
	t := &Tail{reverse: r, stream: dynamostream.Stream{Client: r.Streams, ARN: p.Stream}, at: p.At, done: map[string]bool{},
		reading: map[string]bool{}, ids: map[string]bson.RawValue{}}
	for _, shard := range p.Done {
		t.done[shard] = true
	}
	return t, nil
}

var errNoPlace error = retry.Permanent("the verification does not say where the stream was: verify again")

// Collect collects until ctx ends.
func (t *Tail) Collect(ctx context.Context) error {
	g, within := errgroup.WithContext(ctx)
	g.Go(func() error {
		for {
			shards, err := t.stream.Shards(within)
			if err != nil {
				return err
			}
			for _, shard := range shards.Ready(t.isDone) {
				if from, free := t.take(shard.ID); free {
					g.Go(func() error { return t.read(within, shard.ID, from) })
				}
			}
			if err := backoff.Sleep(within, listEvery); err != nil {
				return err
			}
		}
	})
	if err := g.Wait(); ctx.Err() == nil {
		return fmt.Errorf("read what was written to the table %s: %w", t.reverse.Plan.Target.Table, err)
	}
	return ctx.Err()
}

func (t *Tail) isDone(shard string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.done[shard]
}

// take says from where a shard is to be read, unless it is read.
func (t *Tail) take(shard string) (dynamostream.Position, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reading[shard] {
		return dynamostream.Position{}, false
	}
	t.reading[shard] = true
	if at := t.at[shard]; at != "" {
		return dynamostream.After(at), true
	}
	return dynamostream.Oldest, true
}

// read reads a shard to its end.
func (t *Tail) read(ctx context.Context, shard string, from dynamostream.Position) error {
	reader := &dynamostream.Reader{Stream: t.stream, Shard: shard, Position: from, Pace: &t.Pace}
	for {
		page, last, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		for _, raw := range page.Records {
			r, err := dynamostream.Decode(raw)
			if err != nil {
				return err
			}
			if err := t.add(shard, r); err != nil {
				return err
			}
		}
		if last {
			t.mu.Lock()
			t.done[shard] = true
			t.mu.Unlock()
			return nil
		}
	}
}

func (t *Tail) add(shard string, r dynamostream.Record) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at[shard] = r.Sequence
	if stamp.Of(r.New).Barrier != "" || stamp.Of(r.Old).Barrier != "" {
		return nil
	}
	id, err := t.reverse.Plan.Codec().ID(r.Keys)
	if err != nil {
		return fmt.Errorf("read the key of record %s: %w", r.Sequence, err)
	}
	t.ids[side.IDKey(id)] = id
	return nil
}

// RemoveIDs returns the documents that were collected, by side.IDKey, and begins anew.
func (t *Tail) RemoveIDs() map[string]bson.RawValue {
	t.mu.Lock()
	defer t.mu.Unlock()
	ids := t.ids
	t.ids = map[string]bson.RawValue{}
	return ids
}

// Has reports whether all that is before a place has been collected.
func (t *Tail) Has(upTo []byte) (bool, error) {
	var p place
	if err := json.Unmarshal(upTo, &p); err != nil {
		return false, err
	}
	if p.Stream != t.stream.ARN {
		return false, fmt.Errorf("the table has another stream now: %w", errNoPlace)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for shard, sequence := range p.At {
		if at := t.at[shard]; !t.done[shard] && (len(at) < len(sequence) || len(at) == len(sequence) && at < sequence) {
			return false, nil // sequence numbers are numbers without leading zeros
		}
	}
	for _, shard := range p.Done {
		if !t.done[shard] {
			return false, nil
		}
	}
	return true, nil
}
