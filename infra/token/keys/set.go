package keys

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/token"
)

// maxText bounds what a source has, in bytes.
const maxText = 1 << 20

// Source is one place where keys are kept. One of Value, File and URL is set.
type Source struct {
	Name  string // for errors and logs. Default the file or URL
	Value string // the keys themselves, or a reference to them (package config)
	File  string
	URL   string // http or https, of a JWK set or of keys in PEM
}

// SetConfig configures OpenSet. Parse, Sources and, where there is a reference, Settings
// are required.
type SetConfig struct {
	Sources  []Source
	Parse    func([]byte) (token.KeySet, error) // such as token.Rules.ParseKeys
	Settings *config.Settings
	Log      *slog.Logger // default discards
	// Known are keys as URLs gave them before, by URL (see Set.Known): they are in force where
	// a URL cannot be read at first.
	Known map[string][]byte
	// FileEvery and URLEvery are how often these are read. Default 10 s and 5 min.
	FileEvery, URLEvery time.Duration
	// Retry is how long after a failure a URL is read again, and the least time between
	// the readings that Refresh asks for. Default 10 s.
	Retry time.Duration
	// Timeout of reading a URL. Default 5 s.
	Timeout time.Duration
	// Now is the clock of what Refresh may ask for. Default time.Now.
	Now func() time.Time
}

// Set is keys from several sources, whose changes it follows. What a source had last
// stays in force while the source cannot be read or has no valid keys, which is logged
// once. It is safe for concurrent use; end it with Close.
type Set struct {
	cfg       SetConfig
	http      *http.Client
	sources   []*source
	open      context.Context // until Close
	cancel    context.CancelFunc
	following sync.WaitGroup

	mu   sync.Mutex // of merging
	keys atomic.Pointer[token.KeySet]
}

// source is a Source that is followed.
type source struct {
	Source
	setting *config.Setting // nil for files and URLs
	every   time.Duration   // 0: its changes are signalled
	wake    chan struct{}

	reading sync.Mutex
	failed  string // why it could not be read last, "" if it could

	text []byte       // as used last; written under reading and Set.mu
	set  token.KeySet // under Set.mu

	mu     sync.Mutex
	began  time.Time     // the last reading
	missed bool          // it failed
	flying chan struct{} // closed when the reading that was asked for has ended; nil for none
}

// OpenSet reads all sources and follows them. It fails for one that cannot be read or
// has no valid keys, but for a URL: that is logged, and tried again, so that a program
// can start while the issuer is down.
func OpenSet(ctx context.Context, cfg SetConfig) (*Set, error) {
	s, err := readSet(ctx, cfg)
	if err != nil {
		return nil, err
	}
	for _, src := range s.sources {
		if src.setting == nil || !src.setting.Fixed() {
			s.following.Go(func() { s.follow(src) })
		}
	}
	return s, nil
}

// readSet reads all sources once.
func readSet(ctx context.Context, cfg SetConfig) (*Set, error) {
	cfg.FileEvery = cmp.Or(cfg.FileEvery, 10*time.Second)
	cfg.URLEvery = cmp.Or(cfg.URLEvery, 5*time.Minute)
	cfg.Retry = cmp.Or(cfg.Retry, 10*time.Second)
	cfg.Timeout = cmp.Or(cfg.Timeout, 5*time.Second)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Set{cfg: cfg, http: &http.Client{
		Transport: http.DefaultTransport.(*http.Transport).Clone(), Timeout: cfg.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	s.keys.Store(&token.KeySet{})
	s.open, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for _, given := range cfg.Sources {
		src, err := s.source(ctx, given)
		if err == nil {
			s.sources = append(s.sources, src)
			err = s.first(ctx, src)
		}
		if err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

func (s *Set) source(ctx context.Context, given Source) (src *source, err error) {
	given.Name = cmp.Or(given.Name, given.File, given.URL)
	src = &source{Source: given, wake: make(chan struct{}, 1)}
	switch {
	case given.File != "":
		src.every = s.cfg.FileEvery
	case given.URL != "":
		src.every = s.cfg.URLEvery
	default:
		src.setting, err = s.cfg.Settings.Secret(ctx, given.Name, given.Value)
	}
	return src, err
}

// first reads a source for the first time.
func (s *Set) first(ctx context.Context, src *source) error {
	if src.URL == "" {
		return s.readText(ctx, src) // an error is the caller's to log
	}
	if s.read(ctx, src) != nil {
		_ = s.use(ctx, src, s.cfg.Known[src.URL]) // by other rules there may be no key in it
	}
	return nil
}

// Known is what the URLs gave last, for a Set that takes the place of this one.
func (s *Set) Known() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := map[string][]byte{}
	for _, src := range s.sources {
		if src.URL != "" && src.text != nil {
			known[src.URL] = src.text
		}
	}
	return known
}

// Keys are the keys in force. The pointer is another one when they have changed.
func (s *Set) Keys() *token.KeySet { return s.keys.Load() }

// Refresh reads the URLs anew, for a token whose key is unknown, and waits for that or
// for the end of ctx. It does nothing for a URL that was read less than Retry ago, so
// that tokens with invented keys cannot make it ask all the time.
func (s *Set) Refresh(ctx context.Context) {
	for _, src := range s.sources {
		if done := src.request(s.cfg.Now(), s.cfg.Retry); done != nil {
			select {
			case <-done:
			case <-ctx.Done():
			}
		}
	}
}

// IsIncomplete reports whether a source could not be read last, so that it may have keys that
// are not in force here.
func (s *Set) IsIncomplete() bool {
	return slices.ContainsFunc(s.sources, func(src *source) bool {
		src.mu.Lock()
		defer src.mu.Unlock()
		return src.missed
	})
}

// Close ends the following. The keys stay in force.
func (s *Set) Close() {
	s.cancel()
	s.following.Wait()
	s.http.CloseIdleConnections()
	for _, src := range s.sources {
		if src.setting != nil {
			src.setting.Close()
		}
	}
}

// request asks for a reading of a URL, and returns what is closed after it; nil when
// there will be none.
func (src *source) request(now time.Time, gap time.Duration) <-chan struct{} {
	src.mu.Lock()
	defer src.mu.Unlock()
	if src.URL == "" || src.flying == nil && now.Sub(src.began) < gap {
		return nil
	}
	if src.flying == nil {
		src.flying, src.began = make(chan struct{}), now
		select {
		case src.wake <- struct{}{}:
		default:
		}
	}
	return src.flying
}

// follow reads the source whenever it is due, asked for, or signals a change.
func (s *Set) follow(src *source) {
	defer src.landed()
	var changed <-chan struct{}
	if src.setting != nil {
		changed = src.setting.Changed()
	}
	for {
		var due <-chan time.Time
		if wait := src.every; wait > 0 {
			if src.failed != "" {
				wait = min(wait, s.cfg.Retry)
			}
			due = time.After(wait)
		}
		select {
		case <-s.open.Done():
			return
		case <-changed:
		case <-due:
		case <-src.wake:
		}
		if err := s.read(s.open, src); err != nil && s.open.Err() != nil {
			return
		}
		src.landed()
	}
}

// landed wakes those who wait for a reading.
func (src *source) landed() {
	src.mu.Lock()
	defer src.mu.Unlock()
	if src.flying != nil {
		close(src.flying)
		src.flying = nil
	}
}

// read reads the source once, and puts its keys in force if they are valid.
func (s *Set) read(ctx context.Context, src *source) error {
	src.reading.Lock()
	defer src.reading.Unlock()
	src.mu.Lock()
	src.began = s.cfg.Now()
	src.mu.Unlock()
	err := s.readText(ctx, src)
	src.mu.Lock()
	src.missed = err != nil && (src.missed || ctx.Err() == nil)
	src.mu.Unlock()
	switch {
	case err == nil && src.failed != "":
		s.cfg.Log.InfoContext(ctx, "the keys of tokens can be read again", "source", src.Name)
		src.failed = ""
	case err != nil && src.failed != err.Error() && ctx.Err() == nil:
		src.failed = err.Error()
		s.cfg.Log.WarnContext(ctx, "the keys of tokens cannot be read, the previous ones stay in force", "source", src.Name, "error", src.failed)
	}
	return err
}

func (s *Set) readText(ctx context.Context, src *source) error {
	text, err := s.fetch(ctx, src)
	if err != nil || src.text != nil && bytes.Equal(text, src.text) {
		return err
	}
	return s.use(ctx, src, text)
}

// use puts the keys that a source has in force.
func (s *Set) use(ctx context.Context, src *source, text []byte) error {
	set, err := s.cfg.Parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", src.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	src.text, src.set = text, set
	merged := token.KeySet{}
	for _, other := range s.sources {
		merged = append(merged, other.set...)
	}
	if old := *s.keys.Load(); !reflect.DeepEqual(merged, old) {
		s.keys.Store(&merged)
		if len(old) > 0 {
			s.cfg.Log.InfoContext(ctx, "the keys of tokens have changed", "source", src.Name, "keys", len(merged))
		}
	}
	return nil
}

func (s *Set) fetch(ctx context.Context, src *source) ([]byte, error) {
	switch {
	case src.setting != nil:
		secret, err := src.setting.Get(ctx)
		return []byte(secret.Reveal()), err
	case src.File != "":
		f, err := os.Open(src.File)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return readAll(src.Name, f)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, src.URL, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json;q=0.9, */*;q=0.1")
	res, err := s.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: expected 200, not %s; redirects are not followed", src.URL, res.Status)
	}
	return readAll(src.Name, res.Body)
}

func readAll(name string, r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxText+1))
	if err == nil && len(text) > maxText {
		err = errors.New("the keys have more than 1 MiB")
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return text, err
}
