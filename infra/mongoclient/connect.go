package mongoclient

import (
	"context"
	"log/slog"

	"github.com/banyan-fig/banyan/infra/config"
)

// Connect is what a program does with its MONGODB_URI: value is the URI, or a
// reference to it, whose changes are followed then (see [Follow]). Close the database
// at the end, and then settings.
func Connect(ctx context.Context, settings *config.Settings, value string, log *slog.Logger) (*Database, error) {
	uri, err := settings.Secret(ctx, "MONGODB_URI", value)
	if err != nil {
		return nil, err
	}
	return Follow(ctx, uri, FollowConfig{Log: log})
}
