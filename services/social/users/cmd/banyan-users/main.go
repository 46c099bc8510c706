// Command banyan-users runs the users service: its API on one address, health and
// metrics on another.
//
//	MONGODB_URI=mongodb://127.0.0.1:27017/legacy banyan-users --listen 127.0.0.1:8081
//
// It exits with 0 after SIGINT or SIGTERM, 1 when it cannot start or go on, and 2
// for a wrong command line.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/alecthomas/kong"
	"golang.org/x/crypto/bcrypt"

	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/services/entity/backbone"
	"github.com/banyan-fig/banyan/services/social/plans"
	"github.com/banyan-fig/banyan/services/social/users"
)

// command is the command line.
type command struct {
	backbone.Flags
	BcryptCost int `help:"Cost of new password hashes, 4 to 31." default:"10" env:"USERS_BCRYPT_COST"`
}

// Validate is called by kong.
func (c *command) Validate() error {
	if c.BcryptCost < bcrypt.MinCost || c.BcryptCost > bcrypt.MaxCost {
		return fmt.Errorf("--bcrypt-cost must be %d to %d, not %d", bcrypt.MinCost, bcrypt.MaxCost, c.BcryptCost)
	}
	return c.Flags.Validate()
}

func main() { newCommand().Main() }

func newCommand() serving.Command {
	var c command
	return serving.Command{
		Name: "banyan-users", Description: "The users service: an HTTP API over whichever store owns the users.", Grammar: &c,
		Vars: kong.Vars{"listen": "127.0.0.1:8081", "admin": "127.0.0.1:8082"},
		Run: func(ctx context.Context, _ *kong.Context, log *slog.Logger) error {
			return c.Serve(ctx, log, "banyan-users", plans.Users, func(b *backbone.Backbone) (http.Handler, error) {
				service, err := users.New(b.Store, c.BcryptCost)
				if err != nil {
					return nil, err
				}
				return users.NewHandler(service, log), nil
			})
		},
	}
}
