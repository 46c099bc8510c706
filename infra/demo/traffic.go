package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Traffic bounds.
const (
	mobiles        = 96               // apps; each does one thing at a time
	requestTimeout = 10 * time.Second // after which an app gives up: a failed request
	shownErrors    = 5                // of each kind, in the summary
)

// traffic is the simulated mobile clients' work. Requests are due at a steady
// rate whether or not earlier ones were answered (an open loop): a slow world
// makes a queue that shows in the latencies, which count from when a request
// was due.
type traffic struct {
	base   string
	seed   uint64
	others []string // ids of users that exist already, to follow
	http   *http.Client

	latencies  histogram
	requests   atomic.Int64
	failed     atomic.Int64
	violations atomic.Int64

	mu     sync.Mutex
	errors []string
	// failedAt is when the first of the errors happened.
	failedAt time.Time
	signed   []*mobile // every app that signed up and was acknowledged
	newer    int       // how many signed up so far, for unique names

	due  chan time.Time
	stop context.CancelFunc
	wg   sync.WaitGroup
}

func newTraffic(base string, seed uint64, others []string) *traffic {
	return &traffic{
		base: base, seed: seed, others: others,
		due: make(chan time.Time, 100_000),
		http: &http.Client{Timeout: requestTimeout, Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: requestTimeout}).DialContext,
			MaxIdleConnsPerHost: mobiles,
		}},
	}
}

// start signs the apps up and starts the load at rate requests a second.
func (t *traffic) start(ctx context.Context, rate int) error {
	ctx, t.stop = context.WithCancel(ctx)
	for range mobiles {
		m := t.newMobile()
		if err := t.request(ctx, time.Now(), m.signUp); err != nil {
			return fmt.Errorf("sign up the first apps: %w", err)
		}
		t.signed = append(t.signed, m)
	}
	for i, m := range t.signed {
		t.wg.Go(func() { t.runApp(ctx, m, rand.New(rand.NewPCG(t.seed, uint64(i)))) })
	}
	t.wg.Go(func() { t.pace(ctx, rate) })
	return nil
}

// stopAndWait stops the load and waits for what is in flight.
func (t *traffic) stopAndWait() {
	t.stop()
	t.wg.Wait()
	t.http.CloseIdleConnections()
}

func (t *traffic) pace(ctx context.Context, rate int) {
	defer close(t.due)
	next := time.Now()
	for ctx.Err() == nil {
		// Three actions in ten refresh a page afterwards: 1.3 requests each.
		next = next.Add(time.Second * 13 / 10 / time.Duration(rate))
		time.Sleep(time.Until(next))
		select {
		case t.due <- next:
		default:
			t.recordError(fmt.Errorf("the apps are %d requests behind: this machine is too slow for the rate", cap(t.due)), &t.failed)
			return
		}
	}
}

func (t *traffic) newMobile() *mobile {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.newer++
	name := fmt.Sprintf("Mobile %d", t.newer)
	return &mobile{http: t.http, base: t.base, name: name, mail: fmt.Sprintf("mobile-%d-%d@example.com", t.seed, t.newer), password: "correct horse"}
}

// runApp runs one app: whenever a request is due, it does one thing that a person
// would do.
func (t *traffic) runApp(ctx context.Context, m *mobile, r *rand.Rand) {
	for due := range t.due {
		if ctx.Err() != nil {
			continue // what is due but was not begun is not made
		}
		// A request under way when the load ends is still finished and counted.
		ctx := context.WithoutCancel(ctx)
		do, refresh := t.chooseAction(m, r)
		if t.request(ctx, due, do) == nil && refresh != nil {
			_ = t.request(ctx, time.Now(), refresh)
		}
	}
}

// chooseAction picks what to do next: mostly reading, as people do. After a write the
// app shows the page that the write changed, at once.
func (t *traffic) chooseAction(m *mobile, r *rand.Rand) (do, refresh func(context.Context) error) {
	switch p := r.IntN(100); {
	case p < 45:
		return m.readTimeline, nil
	case p < 64:
		return m.readSelf, nil
	case p < 67 && m.lastPost.PostID != "":
		return m.unpublish, m.readTimeline
	case p < 76:
		return func(ctx context.Context) error { return m.publish(ctx, fmt.Sprintf("%s says %d", m.name, r.Uint32())) }, m.readTimeline
	case p < 86:
		return func(ctx context.Context) error { return m.rename(ctx, fmt.Sprintf("%s #%d", m.mail, r.IntN(1000))) }, m.readSelf
	case p < 94:
		return func(ctx context.Context) error { return t.toggleFollow(ctx, m, r) }, m.readTimeline
	case p < 97:
		return m.logIn, nil
	default:
		return t.joinAnother, nil
	}
}

func (t *traffic) toggleFollow(ctx context.Context, m *mobile, r *rand.Rand) error {
	if len(m.follows) > 3 && r.IntN(2) == 0 {
		for id := range m.follows {
			return m.follow(ctx, id, false)
		}
	}
	return m.follow(ctx, t.pickUser(m, r), true)
}

// pickUser picks another app half of the time, so that posts cross; else one of
// the users who were there before.
func (t *traffic) pickUser(m *mobile, r *rand.Rand) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if other := t.signed[r.IntN(mobiles)]; other.id != m.id && r.IntN(2) == 0 {
		return other.id
	}
	return t.others[r.IntN(len(t.others))]
}

// joinAnother signs a new user up.
func (t *traffic) joinAnother(ctx context.Context) error {
	m := t.newMobile()
	if err := m.signUp(ctx); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.signed = append(t.signed, m)
	return nil
}

// request makes one request and counts it.
func (t *traffic) request(ctx context.Context, due time.Time, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := do(ctx)
	t.requests.Add(1)
	t.latencies.add(time.Since(due))
	var v violation
	switch {
	case errors.As(err, &v):
		t.recordError(err, &t.violations)
	case err != nil:
		t.recordError(err, &t.failed)
	}
	return err
}

func (t *traffic) recordError(err error, counter *atomic.Int64) {
	if counter.Add(1) > shownErrors {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.failedAt.IsZero() {
		t.failedAt = now
	}
	t.errors = append(t.errors, now.UTC().Format("15:04:05.000 ")+err.Error())
}

// readBack reads every app's own page a last time: what was acknowledged
// must be there, wherever it lives now.
func (t *traffic) readBack(ctx context.Context) {
	var wg sync.WaitGroup
	apps := make(chan *mobile)
	for range 8 {
		wg.Go(func() {
			for m := range apps {
				_ = t.request(ctx, time.Now(), m.readSelf)
			}
		})
	}
	for _, m := range t.signed {
		apps <- m
	}
	close(apps)
	wg.Wait()
	t.http.CloseIdleConnections()
}
