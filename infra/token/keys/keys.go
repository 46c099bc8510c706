// Package keys opens the secret of package token from a setting: the value itself or
// a reference to where it is kept, whose changes are followed while the program
// runs. So keys are rotated without a restart.
//
//	tokens, stop, err := keys.Open(ctx, settings, value, 0, log) // a server
//	tokens, err := keys.OpenFunction(ctx, settings, value, log)  // a Lambda function
package keys

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/token"
)

// Variable is the environment variable of the secret.
const Variable = "BANYAN_JWT_SECRET"

// Validate refuses a setting that is neither a reference nor a valid secret. What a
// reference refers to is checked when it is read.
func Validate(value string) error {
	if config.IsReference(value) {
		return nil
	}
	if err := (token.Config{Secret: []byte(value)}).Validate(); err != nil {
		return fmt.Errorf("%s: %w", Variable, err)
	}
	return nil
}

// Open makes Tokens that are valid for lifetime (0: token.DefaultLifetime) with the
// secret that value is or refers to, and follows its changes until stop is called. A
// changed secret that is not valid is logged, and the previous one stays in force.
func Open(ctx context.Context, settings *config.Settings, value string, lifetime time.Duration, log *slog.Logger) (t *token.Tokens, stop func(), err error) {
	setting, _, t, err := open(ctx, settings, value, lifetime)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var following sync.WaitGroup
	following.Go(func() {
		setting.OnChange(ctx, func(secret config.Secret) { replace(ctx, t, secret, log) })
	})
	return t, func() { cancel(); following.Wait(); setting.Close() }, nil
}

func open(ctx context.Context, settings *config.Settings, value string, lifetime time.Duration) (*config.Setting, config.Secret, *token.Tokens, error) {
	var none config.Secret
	setting, err := settings.Secret(ctx, Variable, value)
	if err != nil {
		return nil, none, nil, err
	}
	secret, err := setting.Get(ctx)
	if err != nil {
		return nil, none, nil, err
	}
	t, err := token.New(token.Config{Secret: []byte(secret.Reveal()), Lifetime: lifetime})
	if err != nil {
		return nil, none, nil, fmt.Errorf("%s: %w", Variable, err)
	}
	return setting, secret, t, nil
}

func replace(ctx context.Context, t *token.Tokens, secret config.Secret, log *slog.Logger) {
	if err := t.SetSecret([]byte(secret.Reveal())); err != nil {
		log.WarnContext(ctx, "the changed token secret is invalid, the previous one stays in force", "variable", Variable, "error", err.Error())
		return
	}
	log.InfoContext(ctx, "the token secret was replaced", "variable", Variable)
}
