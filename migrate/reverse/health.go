package reverse

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/dynamostream"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/source"
)

// Health is the state of the way back, as all processes have written it down.
type Health struct {
	Begun    time.Time `json:"begun,omitzero"`    // zero before it begins
	ProbedAt time.Time `json:"probedAt,omitzero"` // when a drain last came through; zero for never
	Shards   int       `json:"shards"`            // that are to be carried
	Followed bool      `json:"followed"`          // each of them by a process
	// Lag is how far MongoDB is behind the table at most, to a second or two; negative
	// while it is not known.
	Lag time.Duration `json:"lagNanoseconds"`
	// TimeLeft is how long the way back can stay as it is until the stream drops what it
	// needs; 0 while the lag is not known.
	TimeLeft   time.Duration `json:"timeLeftNanoseconds"`
	Misfits    int64         `json:"misfits"`    // items that do not fit MongoDB
	LateWrites int64         `json:"lateWrites"` // see [LateWrite]
	OutOfBand  int64         `json:"outOfBand"`  // changes that neither the service nor the migration made
	LastKey    string        `json:"lastOutOfBandKey,omitempty"`
	Ended      string        `json:"ended,omitempty"` // why it has ended
}

// Warning is below which time left a way back needs somebody's attention.
const Warning = 6 * time.Hour

// Health reads the state of the way back. It changes nothing.
func (r *Reverse) Health(ctx context.Context) (Health, error) {
	h := Health{Lag: -1}
	all, err := r.loadRows(ctx)
	if err != nil {
		return h, err
	}
	now := time.Now()
	workers, err := r.Control.Workers(ctx)
	if err != nil {
		return h, err
	}
	live := map[string]bool{}
	for _, w := range workers {
		live[w.ID] = now.Sub(w.At) < 2*w.Lease
	}
	for _, rows := range all {
		head := rows[""]
		if head == nil || head.Begun.Before(h.Begun) {
			continue // of a stream that the table had before
		}
		h = Health{Begun: head.Begun, ProbedAt: head.ProbedAt, Ended: head.Ended, Lag: -1}
		h.add(rows, live, now)
	}
	for name, n := range map[string]*int64{source.Misfits: &h.Misfits, source.LateWrites: &h.LateWrites} {
		err := retry.Do(ctx, "count "+name, func(ctx context.Context) (err error) {
			*n, err = r.Source.DB.Collection(name).CountDocuments(ctx, bson.D{{Key: "entity", Value: r.Plan.Entity}})
			return err
		})
		if err != nil {
			return h, err
		}
	}
	return h, nil
}

// add sums the shards up: the lag is that of the slowest, and unknown with that of any.
func (h *Health) add(rows map[string]*position, live map[string]bool, now time.Time) {
	known, slowest, newest := true, now, time.Time{}
	h.Followed = true
	for shard, row := range rows {
		if shard == "" {
			continue
		}
		if row.OutOfBand > 0 {
			h.OutOfBand, h.LastKey = h.OutOfBand+row.OutOfBand, row.LastKey
		}
		upTo := row.CaughtUp
		if row.At.After(upTo) {
			upTo = row.At
		}
		if upTo.After(newest) {
			newest = upTo
		}
		if row.Done {
			continue
		}
		h.Shards++
		h.Followed = h.Followed && live[row.Worker]
		known = known && !upTo.IsZero()
		if upTo.Before(slowest) {
			slowest = upTo
		}
	}
	if h.Shards == 0 { // between a shard's end and its children
		known, slowest = !newest.IsZero(), newest
	}
	if known {
		h.Lag = max(0, now.Sub(slowest))
		h.TimeLeft = max(0, dynamostream.Retention-h.Lag)
	}
}

// Problems are what an operator has to look at, each with what to do.
func (h Health) Problems() []string {
	var all []string
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if h.Ended != "" {
		add("the way back has ended (%s): a rollback is no longer possible; DynamoDB stays the owner, and `banyan-migrate complete` ends the migration", h.Ended)
		return all
	}
	if h.TimeLeft > 0 && h.TimeLeft < Warning {
		add("the way back ends in %s, when the stream drops what it has not carried: start `banyan-migrate run`", h.TimeLeft.Round(time.Minute))
	}
	if h.Misfits > 0 {
		add("%d items do not fit MongoDB, and are there as they were before: `banyan-migrate strays` shows why; correct them", h.Misfits)
	}
	if h.LateWrites > 0 {
		add("%d writes to the table came although MongoDB owned the entity, and had no effect: look at them with `banyan-migrate strays`, "+
			"stop who wrote them, and discard them there", h.LateWrites)
	}
	return all
}
