package wiring

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers/rebuild/livetable"
	readmodel "github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/services/social/timeline"
)

// followLive makes the API over whichever table is live, the same for all readings of a request.
func (s *Settings) followLive(ctx context.Context, client *dynamodb.Client, tokens timeline.Tokens, log *slog.Logger) (http.Handler, error) {
	live, err := livetable.Follow(livetable.Config{Client: client, Control: s.Rebuilds, Model: Model, Default: s.Table, Logger: log})
	if err != nil {
		return nil, err
	}
	table, err := live.Table(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the live table by %s: %w", rebuildsVariable, err)
	}
	if err := checkTable(ctx, client, table); err != nil {
		return nil, err
	}
	api, err := timeline.NewHandler(timeline.Config{Reader: liveReader{client, live}, Tokens: tokens, Logger: log})
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ctx, err := live.Pin(r.Context()); err == nil { // else the reader says so
			r = r.WithContext(ctx)
		}
		api.ServeHTTP(w, r)
	}), nil
}

// liveReader reads from the live table.
type liveReader struct {
	client readmodel.ReaderClient
	live   *livetable.Follower
}

// Read is that of [readmodel.Reader].
func (l liveReader) Read(ctx context.Context, userID, cursor string, limit int) (readmodel.Page, error) {
	table, err := l.live.Table(ctx)
	if err != nil {
		return readmodel.Page{}, err
	}
	return readmodel.NewReader(l.client, table).Read(ctx, userID, cursor, limit)
}

// Applied is that of [readmodel.Reader].
func (l liveReader) Applied(ctx context.Context, userID string) (events.Position, error) {
	table, err := l.live.Table(ctx)
	if err != nil {
		return events.Position{}, err
	}
	return readmodel.NewReader(l.client, table).Applied(ctx, userID)
}
