// Package keys opens the secret of package token from a setting: the value itself or
// a reference to where it is kept, whose changes are followed while the program
// runs. So keys are rotated without a restart.
//
//	tokens, stop, err := keys.Open(ctx, settings, value, 0, log) // a server
//	tokens, err := keys.OpenFunction(ctx, settings, value, log)  // a Lambda function
//
// A service whose clients have tokens that somebody else issues checks those with
// OpenChecker: of other algorithms, with the user in another claim, with keys from a
// file or a JWK set.
package keys

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
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
	if _, err := token.ParseSecret([]byte(value)); err != nil {
		return fmt.Errorf("%s: %w", Variable, err)
	}
	return nil
}

// Open makes Tokens that are valid for lifetime (0: token.DefaultLifetime) with the
// secret that value is or refers to, and follows its changes until stop is called, as
// OpenSet does.
func Open(ctx context.Context, settings *config.Settings, value string, lifetime time.Duration, log *slog.Logger) (t *token.Tokens, stop func(), err error) {
	set, err := OpenSet(ctx, ofSecret(settings, value, log))
	if err != nil {
		return nil, nil, err
	}
	t, err = token.New(token.Config{Keys: set.Keys, Lifetime: lifetime})
	return t, set.Close, err
}

func ofSecret(settings *config.Settings, value string, log *slog.Logger) SetConfig {
	return SetConfig{Sources: []Source{{Name: Variable, Value: value}}, Parse: token.ParseSecret, Settings: settings, Log: log}
}

// FunctionTokens checks tokens in a Lambda function, whose process does not run
// between invocations, so that nothing in the background can follow changes: each
// request reads the setting anew if it is older than its TTL. It is safe for
// concurrent use.
type FunctionTokens struct {
	set    *Set
	tokens *token.Tokens
}

// OpenFunction is Open for a Lambda function.
func OpenFunction(ctx context.Context, settings *config.Settings, value string, log *slog.Logger) (*FunctionTokens, error) {
	set, err := readSet(ctx, ofSecret(settings, value, log))
	if err != nil {
		return nil, err
	}
	tokens, err := token.New(token.Config{Keys: set.Keys})
	return &FunctionTokens{set, tokens}, err
}

// Subject returns the id of the user whose token the request carries, or
// token.ErrInvalid; any other error says that the secret could not be read.
func (t *FunctionTokens) Subject(r *http.Request) (string, error) {
	secret := t.set.sources[0]
	if _, err := secret.setting.Get(r.Context()); err != nil {
		return "", err
	}
	_ = t.set.read(r.Context(), secret) // one that is invalid is logged
	return t.tokens.Subject(r)
}
