package dynamodb

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/wire"
)

// tokenCache remembers the ClientRequestTokens of finished transactions for ten minutes, as the
// service does, and at most maxTokens of them.
type tokenCache struct {
	now func() time.Time

	mu    sync.Mutex
	seen  map[string]*tokenUse
	order []string // by time, oldest first
}

type tokenUse struct {
	content [sha256.Size]byte
	at      time.Time
	done    bool
}

const (
	tokenLife = 10 * time.Minute
	maxTokens = 100_000
)

func newTokenCache(now func() time.Time) *tokenCache {
	return &tokenCache{now: now, seen: map[string]*tokenUse{}}
}

// once runs a transaction unless one with the same token and content has succeeded already, and
// reports whether that was so.
func (c *tokenCache) once(r *request, run func() error) (repeated bool, err error) {
	if r.token == "" {
		return false, run()
	}
	content := r.fingerprint()
	if repeated, err := c.begin(r.token, content); repeated || err != nil {
		return repeated, err
	}
	succeeded := false
	defer func() { c.end(r.token, succeeded) }() // also after a panic: it must not stay in progress
	err = run()
	succeeded = err == nil
	return false, err
}

func (c *tokenCache) begin(token string, content [sha256.Size]byte) (repeated bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget()
	use, ok := c.seen[token]
	switch {
	case !ok:
		c.seen[token] = &tokenUse{content: content, at: c.now()}
		c.order = append(c.order, token)
		return false, nil
	case use.content != content:
		return false, fail("IdempotentParameterMismatchException",
			"The request uses the same client token as a previous, but non-identical request. Do not reuse a client token with different "+
				"requests, unless the requests are identical")
	case !use.done:
		return false, fail("TransactionInProgressException", "The transaction with the given request token is already in progress")
	}
	return true, nil
}

// end keeps the token of a transaction that succeeded, and frees that of one that did not.
func (c *tokenCache) end(token string, succeeded bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if succeeded {
		c.seen[token].done = true
		return
	}
	delete(c.seen, token)
}

// forget drops what is too old or too much.
func (c *tokenCache) forget() {
	for len(c.order) > 0 {
		use, ok := c.seen[c.order[0]]
		if ok && len(c.order) < maxTokens && c.now().Sub(use.at) < tokenLife {
			return
		}
		if ok && !use.done {
			return
		}
		delete(c.seen, c.order[0])
		c.order = c.order[1:]
	}
}

// fingerprint is the same for requests of the same content, in whatever order their maps came.
func (r *request) fingerprint() [sha256.Size]byte {
	var out []byte
	for _, one := range r.transact {
		for _, text := range []string{one.operation, one.table, one.returnOnFailed} {
			out = wire.AppendString(out, text)
		}
		for _, text := range []*string{one.condition, one.update} {
			if out = append(out, ','); text != nil {
				out = wire.AppendString(out, *text)
			}
		}
		out = one.values.AppendJSON(one.item.AppendJSON(one.key.AppendJSON(out)))
		for _, n := range one.names {
			out = wire.AppendString(wire.AppendString(out, n.Placeholder), n.Attribute)
		}
		out = append(out, '\n')
	}
	return sha256.Sum256(out)
}
