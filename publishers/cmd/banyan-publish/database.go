package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/mongoclient"
)

// databaseFlags name the database of a command that inspects it.
type databaseFlags struct {
	MongodbURI string `help:"URI that names the database, or a reference to it (ssm:/name, secret:id)." env:"MONGODB_URI" required:"" placeholder:"$MONGODB_URI"`
}

// open opens the database; end closes it.
func (f *databaseFlags) open(ctx context.Context) (db *mongoclient.Database, end func() error, err error) {
	settings := config.NewSettings()
	if db, err = mongoclient.Connect(ctx, settings, f.MongodbURI, slog.Default()); err != nil {
		settings.Close()
		return nil, nil, err
	}
	return db, func() error {
		defer settings.Close()
		return closeIn(db.Close)
	}, nil
}

// withDatabase calls do with the open database, and closes it.
func (f *databaseFlags) withDatabase(ctx context.Context, do func(*mongoclient.Database) error) error {
	db, end, err := f.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(db), end())
}
