package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/publishers/changestream"
	"github.com/banyan-fig/banyan/publishers/changestream/follow"
)

// changesCommand publishes document changes.
type changesCommand struct {
	Mapping       string      `help:"YAML file that says which events are made of which changes." env:"BANYAN_PUBLISH_MAPPING" required:"" placeholder:"FILE"`
	Name          string      `help:"Name under which the position is stored; processes of one name take turns." default:"changes" env:"BANYAN_PUBLISH_CHANGES_NAME"`
	Snapshot      bool        `help:"Read the collections whole where there is no position to go on from: at the first start, and when it fell off the oplog." env:"BANYAN_PUBLISH_SNAPSHOT"`
	SnapshotChunk int         `help:"Documents that a snapshot reads at once." default:"500" env:"BANYAN_PUBLISH_SNAPSHOT_CHUNK"`
	EnsureImages  bool        `help:"Turn on the server's images of documents before a change, for the collections of the mapping." env:"BANYAN_PUBLISH_ENSURE_IMAGES"`
	FollowOn      bool        `help:"Go on when a collection was dropped or renamed." env:"BANYAN_PUBLISH_FOLLOW_ON"`
	Source        string      `help:"Source of events for which the mapping names none; /changes/DATABASE unless given." env:"BANYAN_PUBLISH_SOURCE" placeholder:"/legacy/..."`
	Cluster       string      `help:"Part of the ids, where two clusters publish collections of one name." env:"BANYAN_PUBLISH_CLUSTER"`
	AdminListen   string      `help:"Address of /healthz, /readyz and /metrics.json." default:"127.0.0.1:8093" env:"BANYAN_PUBLISH_ADMIN_LISTEN"`
	Follow        followFlags `embed:""`
}

// Run publishes until ctx ends, or going on would leave changes out.
func (c *changesCommand) Run(ctx context.Context, log *slog.Logger) error {
	text, err := os.ReadFile(c.Mapping)
	if err != nil {
		return fmt.Errorf("%w: the mapping: %w", serving.ErrUsage, err)
	}
	mapping, err := changestream.ParseMapping(c.Mapping, text)
	if err != nil {
		return fmt.Errorf("%w: the mapping:\n%w", serving.ErrUsage, err)
	}
	return c.Follow.run(ctx, c.AdminListen, log, func(db *mongo.Database, out outlet) (worker, error) {
		return c.prepare(db, out, mapping, log)
	})
}

func (c *changesCommand) prepare(db *mongo.Database, out outlet, mapping *changestream.Mapping, log *slog.Logger) (worker, error) {
	p, err := changestream.New(changestream.Config{
		Name: c.Name, Database: db, Mapping: mapping, To: out, Permanent: permanent,
		Snapshot: c.Snapshot, SnapshotChunk: c.SnapshotChunk, EnsureImages: c.EnsureImages, FollowOn: c.FollowOn,
		Source: c.Source, Cluster: c.Cluster, Window: c.Follow.Window, Lease: c.Follow.Lease, Log: log,
	})
	if err != nil {
		return worker{}, err
	}
	return worker{
		run: p.Run, ready: p.Ready(),
		following: func() follow.Status { return p.Status().Follower },
		metrics:   func(out outletMetrics) any { return changesMetricsOf(p.Status(), out) },
	}, nil
}

// changesMetrics is the answer of /metrics.json; counts are since the start.
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
