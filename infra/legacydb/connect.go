package legacydb

import (
	"context"
	"log/slog"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/config"
)

// Connect is what a program does with its MONGODB_URI: value is the URI, or a
// reference to it, whose changes are followed then (see [Follow]). Disconnect the
// database's Client at the end, and then close settings.
func Connect(ctx context.Context, settings *config.Settings, value string, log *slog.Logger) (*mongo.Database, error) {
	uri, err := settings.Secret(ctx, "MONGODB_URI", value)
	if err != nil {
		return nil, err
	}
	return Follow(ctx, uri, FollowConfig{Log: log})
}
