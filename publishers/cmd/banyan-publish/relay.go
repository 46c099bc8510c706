package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/publishers/outbox"
)

// relayCommand are the commands about outboxes in MongoDB.
type relayCommand struct {
	Run     relayRunCommand     `cmd:"" default:"withargs" help:"Publish what is written to outboxes; the default (flags: relay run --help)."`
	Refused relayRefusedCommand `cmd:"" help:"List events that cannot be published and were moved aside, with the reasons."`
	Redrive relayRedriveCommand `cmd:"" help:"Put such events back where they waited, to be tried again."`
	Discard relayDiscardCommand `cmd:"" help:"Delete such events for good."`
}

// relayRunCommand relays outboxes in MongoDB.
type relayRunCommand struct {
	relayName
	Documents        []string      `help:"Collections whose documents carry events in an array." env:"BANYAN_PUBLISH_DOCUMENTS" placeholder:"COLLECTION"`
	Outboxes         []string      `help:"Collections whose documents are events." env:"BANYAN_PUBLISH_OUTBOXES" placeholder:"COLLECTION"`
	Field            string        `help:"The array in a document." default:"_outbox" env:"BANYAN_PUBLISH_FIELD"`
	CorrelationField string        `help:"The sub-document with ids for events that have none." default:"_correlation" env:"BANYAN_PUBLISH_CORRELATION_FIELD"`
	Source           string        `help:"Source of events that name none; without it they are refused." env:"BANYAN_PUBLISH_SOURCE" placeholder:"/legacy/..."`
	SweepEvery       time.Duration `help:"How often to search for events that the change stream missed." default:"1m" env:"BANYAN_PUBLISH_SWEEP_EVERY"`
	AdminListen      string        `help:"Address of /healthz, /readyz and /metrics.json." default:"127.0.0.1:8092" env:"BANYAN_PUBLISH_ADMIN_LISTEN"`
	schemaFlags
	memberFlags
	Follow followFlags `embed:""`
}

// Validate is called by kong.
func (c *relayRunCommand) Validate() error {
	if len(c.Documents)+len(c.Outboxes) == 0 {
		return errors.New("name the collections whose documents carry events (--documents), those of events (--outboxes), or both")
	}
	return nil
}

// Run relays until ctx ends.
func (c *relayRunCommand) Run(ctx context.Context, log *slog.Logger) (err error) {
	check, err := c.check()
	if err != nil {
		return err
	}
	members, err := c.join(ctx, &c.Follow.databaseFlags, c.Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, members.leave()) }()
	return c.Follow.run(ctx, c.AdminListen, log, func(db *mongo.Database, out outlet) (worker, error) {
		r, err := outbox.New(outbox.Config{
			Admit: members.admit,
			Name:  c.Name, Database: db, Documents: c.Documents, Outboxes: c.Outboxes, Field: outbox.Field(c.Field), Correlation: c.CorrelationField,
			Source: c.Source, Refused: c.Refused, SweepEvery: c.SweepEvery, Window: c.Follow.Window, Lease: c.Follow.Lease,
			Check: check, Publisher: out, Permanent: permanent, Log: log,
		})
		if err != nil {
			return worker{}, err
		}
		return worker{
			run: r.Run, ready: r.Ready(),
			following: func() mongostream.Status { return r.Status().Follower },
			metrics:   func(out outletMetrics) any { return relayMetricsOf(r.Status(), out) },
		}, nil
	})
}

// relayMetrics is the body of /metrics.json; counts are since the start, or since the
// database has another URI.
type relayMetrics struct {
	Relay struct {
		Published int64   `json:"events_published"`
		Bytes     int64   `json:"bytes"`
		Swept     int64   `json:"events_swept"`
		Refused   int64   `json:"events_refused"`
		Repeated  int64   `json:"repeated"`
		Stuck     int64   `json:"stuck"`
		Held      int64   `json:"held"`
		Sweeps    int64   `json:"sweeps"`
		Postponed int64   `json:"sweeps_postponed"`
		Recovered int64   `json:"histories_lost"`
		Waiting   int64   `json:"waiting"`
		OldestMS  float64 `json:"oldest_ms"`
	} `json:"relay"`
	Follower followerMetrics `json:"follower"`
	outletMetrics
}

func relayMetricsOf(s outbox.Status, out outletMetrics) relayMetrics {
	m := relayMetrics{Follower: followerMetricsOf(s.Follower), outletMetrics: out}
	m.Relay.Published, m.Relay.Bytes, m.Relay.Swept, m.Relay.Refused = s.Published, s.Bytes, s.Swept, s.Refused
	m.Relay.Repeated, m.Relay.Stuck, m.Relay.Held = s.Repeated, s.Stuck, s.Held
	m.Relay.Sweeps, m.Relay.Postponed, m.Relay.Recovered = s.Sweeps, s.Postponed, s.Recovered
	m.Relay.Waiting, m.Relay.OldestMS = s.Waiting, milliseconds(s.Oldest)
	return m
}
