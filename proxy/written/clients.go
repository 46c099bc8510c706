package written

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/token"
	"github.com/banyan-fig/banyan/infra/token/keys"
)

// maxTaken bounds the positions of one request that are verified.
const maxTaken = 4

// ClientsConfig says how clients keep their position.
type ClientsConfig struct {
	Cookie   string // its name; "": none
	Header   string // the same, in its canonical form
	KeysName string // for errors
	Keys     string // at least 32 bytes each, one a line, or a reference to them
	MaxAge   time.Duration
}

// CheckKeys refuses keys that are neither a reference nor valid.
func CheckKeys(value string) error {
	var err error
	if config.IsReference(value) {
		_, err = config.ParseReference(value)
	} else {
		_, err = token.ParseSecret([]byte(value))
	}
	return err
}

// Clients gives positions to clients and takes them back. A position is signed for its
// subject, so that a client can neither invent one nor use another's; an older one of its own
// does no harm, since the latest counts. It is safe for concurrent use. A nil Clients gives
// and takes nothing.
type Clients struct {
	cfg       ClientsConfig
	keys      *keys.Set
	positions *Positions
}

// OpenClients reads the keys, and follows their changes until Close. Positions that are
// refused are counted there.
func OpenClients(ctx context.Context, cfg ClientsConfig, positions *Positions, settings *config.Settings, log *slog.Logger) (*Clients, error) {
	set, err := keys.OpenSet(ctx, keys.SetConfig{
		Sources: []keys.Source{{Name: cfg.KeysName, Value: cfg.Keys}}, Parse: token.ParseSecret, Settings: settings, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("positions for clients: read keys: %w", err)
	}
	return &Clients{cfg, set, positions}, nil
}

// Config is what it was opened with.
func (c *Clients) Config() ClientsConfig { return c.cfg }

// Close ends the following of the keys.
func (c *Clients) Close() {
	if c != nil {
		c.keys.Close()
	}
}

// Give puts a position into the head of the answer to a write. A cookie is for secure
// connections alone if this one is.
func (c *Clients) Give(answer http.Header, subject string, at events.Position, secure bool) {
	if c == nil || subject == "" || at.IsZero() {
		return
	}
	position := at.String()
	text := position + "." + base64.RawURLEncoding.EncodeToString(sign((*c.keys.Keys())[0], subject, position))
	if c.cfg.Header != "" {
		answer[c.cfg.Header] = []string{text}
	}
	if c.cfg.Cookie != "" {
		cookie := http.Cookie{
			Name: c.cfg.Cookie, Value: text, Path: "/", MaxAge: int(c.cfg.MaxAge.Seconds()), HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode,
		}
		answer["Set-Cookie"] = append(answer["Set-Cookie"], cookie.String())
	}
}

// Take is the latest position that the client has for the subject, the zero one for none.
func (c *Clients) Take(r *http.Request, subject string) (latest events.Position) {
	if c == nil || subject == "" {
		return latest
	}
	var texts []string
	if c.cfg.Header != "" {
		texts = append(texts, r.Header[c.cfg.Header]...)
	}
	if c.cfg.Cookie != "" {
		for _, cookie := range r.CookiesNamed(c.cfg.Cookie) {
			texts = append(texts, cookie.Value)
		}
	}
	for _, text := range texts[:min(len(texts), maxTaken)] {
		at, ok := c.verify(text, subject)
		if !ok {
			c.positions.stats.refused.Add(1)
		} else if latest.Before(at) {
			latest = at
		}
	}
	return latest
}

func (c *Clients) verify(text, subject string) (events.Position, bool) {
	i := strings.LastIndexByte(text, '.')
	if i < 0 {
		return events.Position{}, false
	}
	given, err := base64.RawURLEncoding.Strict().DecodeString(text[i+1:])
	if err != nil {
		return events.Position{}, false
	}
	for _, k := range *c.keys.Keys() {
		if hmac.Equal(given, sign(k, subject, text[:i])) {
			at, err := events.ParsePosition(text[:i])
			return at, err == nil
		}
	}
	return events.Position{}, false
}

// sign makes the signature. No subject and no position has a zero byte, and no token of
// another kind that may have the same key begins so.
func sign(k token.Key, subject, position string) []byte {
	mac := hmac.New(sha256.New, k.Secret())
	mac.Write([]byte("banyan position 1\x00" + position + "\x00" + subject))
	return mac.Sum(nil)
}

// Hide takes what was given to the client from the head that an upstream gets: it is none of
// its own. What is not changed is shared with the client's head.
func (c *Clients) Hide(out http.Header) {
	if c == nil {
		return
	}
	if c.cfg.Header != "" {
		delete(out, c.cfg.Header)
	}
	if c.cfg.Cookie == "" || !slices.ContainsFunc(out["Cookie"], func(line string) bool { return strings.Contains(line, c.cfg.Cookie) }) {
		return
	}
	isOurs := func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return strings.TrimSpace(name) == c.cfg.Cookie
	}
	var kept []string
	for _, line := range out["Cookie"] {
		var others []string
		for pair := range strings.SplitSeq(line, ";") {
			if !isOurs(pair) {
				others = append(others, pair)
			}
		}
		if line = strings.TrimLeft(strings.Join(others, ";"), " "); line != "" {
			kept = append(kept, line)
		}
	}
	if delete(out, "Cookie"); kept != nil {
		out["Cookie"] = kept
	}
}
