package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/services/token"
)

// tokens asks for the secret with each request. Between invocations Lambda stops
// the process, so that nothing in the background follows changes; the setting is
// read anew where it is older than its TTL.
type tokens struct {
	setting *config.Setting
	log     *slog.Logger

	mu      sync.Mutex
	checker *token.Tokens
	secret  config.Secret // of the checker, or the last one that it refused
}

func openTokens(ctx context.Context, settings *config.Settings, value string, log *slog.Logger) (*tokens, error) {
	setting, err := settings.Secret(ctx, token.Setting, value)
	if err != nil {
		return nil, err
	}
	secret, err := setting.Get(ctx)
	if err != nil {
		return nil, err
	}
	checker, err := token.New(token.Config{Secret: []byte(secret.Reveal())})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", token.Setting, err)
	}
	return &tokens{setting: setting, log: log, checker: checker, secret: secret}, nil
}

// Subject implements timeline.Tokens.
func (t *tokens) Subject(r *http.Request) (string, error) {
	secret, err := t.setting.Get(r.Context())
	if err != nil {
		return "", err
	}
	t.change(r.Context(), secret)
	return t.checker.Subject(r)
}

// change takes a new secret, unless it is none: then the one before stays in force.
func (t *tokens) change(ctx context.Context, secret config.Secret) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if secret == t.secret {
		return
	}
	t.secret = secret
	if err := t.checker.Change([]byte(secret.Reveal())); err != nil {
		t.log.WarnContext(ctx, "the new secret of the tokens is not used, the one before stays in force", "error", err.Error())
		return
	}
	t.log.InfoContext(ctx, "the secret of the tokens changed")
}
