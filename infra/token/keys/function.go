package keys

import (
	"context"
	"log/slog"
	"net/http"
	"sync"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/token"
)

// FunctionTokens checks tokens in a Lambda function, whose process does not run
// between invocations, so that nothing in the background can follow changes: each
// request reads the setting anew if it is older than its TTL. It is safe for
// concurrent use.
type FunctionTokens struct {
	setting *config.Setting
	log     *slog.Logger
	tokens  *token.Tokens

	mu     sync.Mutex
	secret config.Secret // the last one read, in force unless it was invalid
}

// OpenFunction is Open for a Lambda function.
func OpenFunction(ctx context.Context, settings *config.Settings, value string, log *slog.Logger) (*FunctionTokens, error) {
	setting, secret, tokens, err := open(ctx, settings, value, 0)
	if err != nil {
		return nil, err
	}
	return &FunctionTokens{setting: setting, log: log, tokens: tokens, secret: secret}, nil
}

// Subject returns the id of the user whose token the request carries, or
// token.ErrInvalid; any other error says that the secret could not be read.
func (t *FunctionTokens) Subject(r *http.Request) (string, error) {
	secret, err := t.setting.Get(r.Context())
	if err != nil {
		return "", err
	}
	t.refresh(r.Context(), secret)
	return t.tokens.Subject(r)
}

func (t *FunctionTokens) refresh(ctx context.Context, secret config.Secret) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if secret == t.secret {
		return
	}
	t.secret = secret
	replace(ctx, t.tokens, secret, t.log)
}
