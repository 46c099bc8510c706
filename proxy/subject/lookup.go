package subject

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/sony/gobreaker/v2"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/token"
)

// maxNobody bounds the tokens that are remembered as nobody's, apart from the others,
// so that invented ones do not push those out.
const maxNobody = 1 << 13

// maxAnswer bounds the answer of a look-up in bytes.
const maxAnswer = 1 << 20

// lookup asks whose a token is, once for all requests that ask at the time.
type lookup struct {
	spec          Lookup
	place         token.Place
	now           func() time.Time
	pointer       token.Pointer
	authorization *config.Setting
	client        *http.Client
	breaker       *gobreaker.CircuitBreaker[answer]
	somebody      *lru.Cache[digest, answer]
	nobody        *lru.Cache[digest, answer]

	mu     sync.Mutex
	flying map[digest]*call
}

// answer is what a look-up said; refused is nil for a subject.
type answer struct {
	subject Subject
	refused *token.RefusedError
	until   time.Time
}

// call is a look-up in flight. It ends with the last request that waits for it.
type call struct {
	cancel  context.CancelFunc
	waiting int // requests, under lookup.mu
	done    chan struct{}
	answer  answer
	err     error
}

func (r *Resolver) openLookup(ctx context.Context, spec Lookup, place token.Place) (resolver, error) {
	spec.Subject = cmp.Or(spec.Subject, "sub")
	spec.TTL, spec.NegativeTTL = cmp.Or(spec.TTL, Duration(time.Minute)), cmp.Or(spec.NegativeTTL, Duration(5*time.Second))
	spec.Timeout, spec.MaxCalls = cmp.Or(spec.Timeout, Duration(time.Second)), cmp.Or(spec.MaxCalls, 64)
	if spec.Method = cmp.Or(spec.Method, http.MethodGet); spec.Parameter != "" {
		spec.Method = http.MethodPost
	}
	l := &lookup{spec: spec, place: place, now: r.cfg.Now, flying: map[digest]*call{}}
	var err error
	if l.pointer, err = token.ParsePointer(spec.Subject); err != nil {
		return nil, err
	}
	if spec.AuthorizationEnv != "" {
		if l.authorization, err = r.settings.Secret(ctx, spec.AuthorizationEnv, r.cfg.getenv(spec.AuthorizationEnv)); err != nil {
			return nil, err
		}
	}
	if l.somebody, err = lru.New[digest, answer](maxRemembered); err != nil {
		return nil, err
	}
	if l.nobody, err = lru.New[digest, answer](maxNobody); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.IdleConnTimeout = spec.MaxCalls, 4*time.Second // below Node.js' 5 s
	l.client = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // to a log-in page
	}
	l.breaker = gobreaker.NewCircuitBreaker[answer](gobreaker.Settings{
		Timeout:     5 * time.Second,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 5 },
		IsExcluded:  func(err error) bool { return errors.Is(err, context.Canceled) }, // nobody waited any more
	})
	return l, nil
}

func (l *lookup) resolve(r *http.Request) (Subject, error) {
	found, err := find(l.place, r)
	if err != nil {
		return Subject{}, err
	}
	sum := digestOf(found.Value) // what is sent: the app may tell a cookie from a header
	if a, ok := l.remembered(sum); ok {
		return a.result()
	}
	c, err := l.join(sum, found)
	if err != nil {
		return Subject{}, failed(err)
	}
	select {
	case <-c.done:
	case <-r.Context().Done():
		l.leave(sum, c)
		return Subject{}, failed(context.Cause(r.Context()))
	}
	if c.err != nil {
		return Subject{}, failed(c.err)
	}
	return c.answer.result()
}

func failed(err error) error { return &token.RefusedError{Reason: LookupFailed, Err: err} }

func (a answer) result() (Subject, error) {
	if a.refused != nil {
		return Subject{}, a.refused
	}
	return a.subject, nil
}

func (l *lookup) remembered(sum digest) (answer, bool) {
	a, ok := l.somebody.Get(sum)
	if !ok {
		a, ok = l.nobody.Get(sum)
	}
	return a, ok && l.now().Before(a.until)
}

// join returns the call in flight for the token, or begins one.
func (l *lookup) join(sum digest, found token.Found) (*call, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.flying[sum]; c != nil {
		c.waiting++
		return c, nil
	}
	if len(l.flying) >= l.spec.MaxCalls {
		return nil, fmt.Errorf("there are %d look-ups at a time already", l.spec.MaxCalls)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(l.spec.Timeout))
	c := &call{cancel: cancel, waiting: 1, done: make(chan struct{})}
	l.flying[sum] = c
	go func() {
		defer close(c.done)
		defer cancel()
		c.answer, c.err = l.breaker.Execute(func() (answer, error) { return l.ask(ctx, found) })
		if c.err == nil {
			l.remember(sum, c.answer)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.removeLocked(sum, c)
	}()
	return c, nil
}

// leave ends the call if nobody else waits for it.
func (l *lookup) leave(sum digest, c *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.waiting--; c.waiting == 0 {
		l.removeLocked(sum, c)
		c.cancel()
	}
}

// removeLocked lets no more requests wait for the call.
func (l *lookup) removeLocked(sum digest, c *call) {
	if l.flying[sum] == c {
		delete(l.flying, sum)
	}
}

func (l *lookup) remember(sum digest, a answer) {
	into, other := l.somebody, l.nobody
	if a.refused != nil {
		into, other = l.nobody, l.somebody
	}
	into.Add(sum, a)
	other.Remove(sum)
}

// ask makes the call. An error is a failure; that the token is nobody's is none.
func (l *lookup) ask(ctx context.Context, found token.Found) (answer, error) {
	asked := l.now()
	req, err := l.request(ctx, found)
	if err != nil {
		return answer{}, err
	}
	res, err := l.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return answer{}, err
	case res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusRequestTimeout:
		return answer{}, fmt.Errorf("%s %s: %s", l.spec.Method, l.spec.URL, res.Status)
	}
	subject, refused := l.read(res.StatusCode, raw)
	if refused != nil {
		return answer{refused: refused, until: asked.Add(time.Duration(l.spec.NegativeTTL))}, nil
	}
	return answer{subject: Subject{subject, "look-up of " + l.spec.URL}, until: asked.Add(time.Duration(l.spec.TTL))}, nil
}

func (l *lookup) request(ctx context.Context, found token.Found) (*http.Request, error) {
	var body io.Reader
	if l.spec.Parameter != "" {
		body = strings.NewReader(url.Values{l.spec.Parameter: {found.Token}}.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, l.spec.Method, l.spec.URL, body)
	if err != nil {
		return nil, err
	}
	req.Host = l.spec.Host
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "banyan-proxy")
	if body == nil {
		req.Header.Set(found.Header, found.Value)
		return req, nil
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if l.authorization != nil {
		secret, err := l.authorization.Get(ctx)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", secret.Reveal())
	}
	return req, nil
}

func (l *lookup) read(status int, raw []byte) (string, *token.RefusedError) {
	if status < 200 || status > 299 {
		return "", &token.RefusedError{Reason: LookupRefused, Err: fmt.Errorf("%s %s answered %d", l.spec.Method, l.spec.URL, status)}
	}
	if len(raw) > maxAnswer {
		return "", &token.RefusedError{Reason: token.NoSubject, Err: errors.New("the answer of the look-up has more than 1 MiB")}
	}
	doc, err := token.DecodeJSON(raw)
	if members, ok := doc.(map[string]any); ok && l.spec.Parameter != "" && members["active"] == false {
		return "", &token.RefusedError{Reason: LookupRefused, Err: errors.New("the token is not active")} // RFC 7662, 2.2
	}
	var subject string
	if err == nil {
		subject, err = l.pointer.Text(doc)
	}
	if err != nil {
		return "", &token.RefusedError{Reason: token.NoSubject, Err: fmt.Errorf("%s in the answer of the look-up: %w", l.spec.Subject, err)}
	}
	if err := token.CheckSubject(subject); err != nil {
		return "", &token.RefusedError{Reason: token.UnusableSubject, Err: err}
	}
	return subject, nil
}

// close waits for the calls that requests in flight wait for.
func (l *lookup) close() {
	l.mu.Lock()
	flying := slices.Collect(maps.Values(l.flying))
	l.mu.Unlock()
	for _, c := range flying {
		<-c.done
	}
	l.client.CloseIdleConnections()
	if l.authorization != nil {
		l.authorization.Close()
	}
}
