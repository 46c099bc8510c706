package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/mongoclient"
)

// databaseFlags name the database of a command that looks into it.
type databaseFlags struct {
	MongodbURI string `help:"URI that names the database, or a reference to it (ssm:/name, secret:id)." env:"MONGODB_URI" required:"" placeholder:"$MONGODB_URI"`
}

// open opens the database; end leaves it.
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

// within opens the database for as long as do takes.
func (f *databaseFlags) within(ctx context.Context, do func(*mongoclient.Database) error) error {
	db, end, err := f.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(db), end())
}
