package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/publishers/changestream"
)

// changesCommand are the commands about changes of documents.
type changesCommand struct {
	Run     changesRunCommand     `cmd:"" default:"withargs" help:"Publish document changes as events; the default (flags: changes run --help)."`
	Refused changesRefusedCommand `cmd:"" help:"List changes whose events could not be published, with the reasons."`
	Redrive changesRedriveCommand `cmd:"" help:"Map such changes again and publish them, behind what was published meanwhile."`
	Discard changesDiscardCommand `cmd:"" help:"Delete such changes for good."`
	Forget  changesForgetCommand  `cmd:"" help:"Forget the position, so that the next start is like the first, for instance with a snapshot."`
}

// mappingFlags say which events are made of changes.
type mappingFlags struct {
	changesName
	Mapping string `help:"YAML file that says which events are made of which changes." env:"BANYAN_PUBLISH_MAPPING" required:"" placeholder:"FILE"`
	Source  string `help:"Source of events for which the mapping names none. Default /changes/DATABASE." env:"BANYAN_PUBLISH_SOURCE" placeholder:"/legacy/..."`
	Cluster string `help:"Part of the ids, where two clusters publish collections of one name." env:"BANYAN_PUBLISH_CLUSTER"`
	schemaFlags
}

// read makes a configuration of the flags and the files that they name.
func (f *mappingFlags) read(log *slog.Logger) (cfg changestream.Config, err error) {
	text, err := os.ReadFile(f.Mapping)
	if err != nil {
		return cfg, fmt.Errorf("%w: the mapping: %w", serving.ErrUsage, err)
	}
	mapping, err := changestream.ParseMapping(f.Mapping, text)
	if err != nil {
		return cfg, fmt.Errorf("%w: the mapping:\n%w", serving.ErrUsage, err)
	}
	check, err := f.check()
	return changestream.Config{
		Name: f.Name, Mapping: mapping, Check: check, Permanent: permanent, Source: f.Source, Cluster: f.Cluster, Log: log,
	}, err
}

// changesRunCommand publishes document changes.
type changesRunCommand struct {
	mappingFlags
	Snapshot      bool        `help:"Read whole collections where there is no position to resume from, or it fell off the oplog." env:"BANYAN_PUBLISH_SNAPSHOT"`
	SnapshotChunk int         `help:"Documents that a snapshot reads at once." default:"500" env:"BANYAN_PUBLISH_SNAPSHOT_CHUNK"`
	EnsureImages  bool        `help:"Turn on pre-images for the collections of the mapping." env:"BANYAN_PUBLISH_ENSURE_IMAGES"`
	FollowOn      bool        `help:"Continue when a collection was dropped or renamed." env:"BANYAN_PUBLISH_FOLLOW_ON"`
	AdminListen   string      `help:"Address of /healthz, /readyz and /metrics.json." default:"127.0.0.1:8093" env:"BANYAN_PUBLISH_ADMIN_LISTEN"`
	Follow        followFlags `embed:""`
}

// Run publishes until ctx ends, or until an error after which changes would be skipped.
func (c *changesRunCommand) Run(ctx context.Context, log *slog.Logger) error {
	cfg, err := c.read(log)
	if err != nil {
		return err
	}
	return c.Follow.run(ctx, c.AdminListen, log, func(db *mongo.Database, out outlet) (worker, error) {
		return c.prepare(db, out, cfg)
	})
}

func (c *changesRunCommand) prepare(db *mongo.Database, out outlet, cfg changestream.Config) (worker, error) {
	cfg.Database, cfg.To = db, out
	cfg.Snapshot, cfg.SnapshotChunk, cfg.EnsureImages, cfg.FollowOn = c.Snapshot, c.SnapshotChunk, c.EnsureImages, c.FollowOn
	cfg.Window, cfg.Lease = c.Follow.Window, c.Follow.Lease
	p, err := changestream.New(cfg)
	if err != nil {
		return worker{}, err
	}
	return worker{
		run: p.Run, ready: p.Ready(),
		following: func() mongostream.Status { return p.Status().Follower },
		metrics:   func(out outletMetrics) any { return changesMetricsOf(p.Status(), out) },
	}, nil
}

// changesMetrics is the body of /metrics.json; counts are since the start, or since the
// database has another URI.
type changesMetrics struct {
	Changes struct {
		Published   int64 `json:"events_published"`
		Ignored     int64 `json:"ignored"`
		Skipped     int64 `json:"skipped"`
		Refused     int64 `json:"refused"`
		HistoryLost int64 `json:"histories_lost"`
	} `json:"changes"`
	Snapshot struct {
		ID         string `json:"id,omitempty"`
		Running    bool   `json:"running"`
		Collection string `json:"collection,omitempty"`
		Documents  int64  `json:"documents"`
	} `json:"snapshot"`
	Follower followerMetrics `json:"follower"`
	outletMetrics
}

func changesMetricsOf(s changestream.Status, out outletMetrics) changesMetrics {
	m := changesMetrics{Follower: followerMetricsOf(s.Follower), outletMetrics: out}
	m.Changes.Published, m.Changes.Ignored, m.Changes.Skipped = s.Published, s.Ignored, s.Skipped
	m.Changes.Refused, m.Changes.HistoryLost = s.Refused, s.HistoryLost
	m.Snapshot.ID, m.Snapshot.Running = s.Snapshot.ID, s.Snapshot.Running
	m.Snapshot.Collection, m.Snapshot.Documents = s.Snapshot.Collection, s.Snapshot.Documents
	return m
}
