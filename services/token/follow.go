package token

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/config"
)

// Setting is the name of the secret among the settings of a program.
const Setting = "BANYAN_JWT_SECRET"

// ValidateSetting is Config.Validate for a setting that may be a reference, which
// is only known to be good when it is read.
func ValidateSetting(value string) error {
	if config.IsReference(value) {
		return nil
	}
	if err := (Config{Secret: []byte(value)}).Validate(); err != nil {
		return fmt.Errorf("%s: %w", Setting, err)
	}
	return nil
}

// Open makes Tokens of life (0: DefaultLife) with the secret that value is or refers
// to, and follows its changes until stop is called. A change that makes no secret is
// logged, and the one before stays in force.
func Open(ctx context.Context, settings *config.Settings, value string, life time.Duration, log *slog.Logger) (t *Tokens, stop func(), err error) {
	setting, err := settings.Secret(ctx, Setting, value)
	if err != nil {
		return nil, nil, err
	}
	secret, err := setting.Get(ctx)
	if err != nil {
		return nil, nil, err
	}
	if t, err = New(Config{Secret: []byte(secret.Reveal()), Life: life}); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", Setting, err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var following sync.WaitGroup
	following.Go(func() {
		setting.OnChange(ctx, func(secret config.Secret) {
			if err := t.Change([]byte(secret.Reveal())); err != nil {
				log.WarnContext(ctx, "the new secret of the tokens is not used, the one before stays in force", "error", err.Error())
				return
			}
			log.InfoContext(ctx, "the secret of the tokens changed")
		})
	})
	return t, func() { cancel(); following.Wait(); setting.Close() }, nil
}
